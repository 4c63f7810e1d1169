// Functions of the module that take whatever Python gives, and say what an argument must be.
#pragma once

#include <pybind11/pybind11.h>

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/error.h"

namespace edgedl {

// A value as the end of an error shows it: itself if that is short, otherwise what it is.
std::string shown(const pybind11::handle& value);

// Of a list, a tuple or an array; -1 of what has no length.
pybind11::ssize_t length_of(const pybind11::handle& value);

// ---- what an argument of a type must be ---------------------------------------------------------

// Classes have a kKind: "a PreprocessPlan". Called with a null pointer.
template <class T>
std::string kind_of(const T*) {
  if constexpr (std::is_same_v<T, bool>) {
    return "True or False";
  } else if constexpr (std::is_integral_v<T>) {
    return (std::is_signed_v<T> ? "a whole number that fits int"
                                : "a whole number that fits uint") +
           std::to_string(8 * sizeof(T));
  } else if constexpr (std::is_floating_point_v<T>) {
    return "a number";
  } else if constexpr (std::is_same_v<T, std::string>) {
    return "a string";
  } else {
    return T::kKind;
  }
}
template <class T, std::size_t N>
std::string kind_of(const std::array<T, N>*) {
  return std::to_string(N) + " values, each " + kind_of(static_cast<const T*>(nullptr));
}
template <class T>
std::string kind_of(const std::vector<T>*) {
  return "a list of values, each " + kind_of(static_cast<const T*>(nullptr));
}

// Whether pybind11 may be asked to make a T of it: it would change some values without a word.
template <class T>
bool may_be(const pybind11::handle& value, const T*) {
  if (std::is_integral_v<T> && !std::is_same_v<T, bool>) return PyIndex_Check(value.ptr()) != 0;
  return !value.is_none();
}
template <class T, std::size_t N>
bool may_be(const pybind11::handle& value, const std::array<T, N>*) {
  return length_of(value) == N;
}
template <class T>
bool may_be(const pybind11::handle& value, const std::vector<T>*) {
  constexpr pybind11::ssize_t kMost = 1024;
  return length_of(value) >= 0 && length_of(value) <= kMost;
}

// ---- arguments ----------------------------------------------------------------------------------

// One argument of a call, as what the function takes: good until the end of the call. Throws Error
// if the value is of another kind. An object is taken as it is, for the function to check.
template <class Given>
class Argument {
  using T = std::decay_t<Given>;

 public:
  Argument(const char* operation, const char* name, const pybind11::handle& value) {
    if constexpr (std::is_same_v<T, pybind11::object>) {
      caster_.load(value, false);
    } else {
      constexpr const T* kAs = nullptr;
      if (may_be(value, kAs) && loads(value)) return;
      require(false, operation, name, " must be ", kind_of(kAs), "; got ", shown(value));
    }
  }

  Given get() { return pybind11::detail::cast_op<Given>(caster_); }

 private:
  bool loads(const pybind11::handle& value) {
    try {
      return caster_.load(value, !std::is_same_v<T, bool>);
    } catch (const pybind11::error_already_set& err) {
      if (!err.matches(PyExc_Exception)) throw;
      return false;
    }
  }

  pybind11::detail::make_caster<T> caster_;
};

template <class>
using AnyObject = const pybind11::object&;

// The names among what is told of a function: beside them there may be py::kw_only and a text.
template <std::size_t Count, class... Extras>
std::array<const char*, Count> names_in(const Extras&... extras) {
  std::array<const char*, Count> names{};
  std::size_t found = 0;
  const auto add = [&](const auto& extra) {
    if constexpr (std::is_base_of_v<pybind11::arg, std::decay_t<decltype(extra)>>) {
      names[found++] = extra.name;
    }
  };
  (add(extras), ...);
  return names;
}

// ---- functions ----------------------------------------------------------------------------------

// `function`, but of objects.
template <class Result, class... Given, std::size_t... Is>
auto of_objects(const char* operation, Result (*function)(Given...),
                const std::array<const char*, sizeof...(Given)>& names,
                std::index_sequence<Is...>) {
  return [=](AnyObject<Given>... values) -> Result {
    return function(Argument<Given>(operation, names[Is], values).get()...);
  };
}

// `method`, but of objects.
template <class Class, class Result, class... Given, std::size_t... Is>
auto of_objects(const char* operation, Result (Class::*method)(Given...) const,
                const std::array<const char*, sizeof...(Given)>& names,
                std::index_sequence<Is...>) {
  return [=](const Class& self, AnyObject<Given>... values) -> Result {
    return (self.*method)(Argument<Given>(operation, names[Is], values).get()...);
  };
}

// Adds a function to the module, with a py::arg for each argument.
template <class Result, class... Given, class... Extras>
void define(pybind11::module_& m, const char* name, Result (*function)(Given...),
            const Extras&... extras) {
  m.def(name,
        of_objects(name, function, names_in<sizeof...(Given)>(extras...),
                   std::index_sequence_for<Given...>{}),
        extras...);
}

// Adds a method to a class.
template <class Class, class Result, class... Given, class... Extras>
void define_method(pybind11::class_<Class>& type, const char* operation, const char* name,
                   Result (Class::*method)(Given...) const, const Extras&... extras) {
  type.def(name,
           of_objects(operation, method, names_in<sizeof...(Given)>(extras...),
                      std::index_sequence_for<Given...>{}),
           extras...);
}

// Adds a constructor to a class.
template <class Class, class... Given, class... Extras>
void define_init(pybind11::class_<Class>& type, const char* operation,
                 std::unique_ptr<Class> (*make)(Given...), const Extras&... extras) {
  type.def(pybind11::init(of_objects(operation, make, names_in<sizeof...(Given)>(extras...),
                                     std::index_sequence_for<Given...>{})),
           extras...);
}

}  // namespace edgedl
