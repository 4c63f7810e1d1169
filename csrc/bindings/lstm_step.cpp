#include "bindings/lstm_step.h"

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <list>
#include <memory>
#include <vector>

#include "bindings/define.h"
#include "bindings/host_arrays.h"
#include "core/error.h"
#include "kernels/lstm_greedy.h"
#include "kernels/lstm_step.h"

namespace py = pybind11;

namespace edgedl {
namespace {

constexpr const char* kOperation = "lstm_step";
constexpr const char* kGreedy = "lstm_greedy";
constexpr int kMostInputs = 32768;  // with more, a sum of products of bytes may not fit 32 bits
constexpr int kMostWidth = 1 << 20;
constexpr int kMostRows = 1 << 16;
constexpr int kMostSteps = 1 << 16;

// A decoder: the arrays of its weights, and where in them what is.
class LstmStepNet {
 public:
  LstmStepNet(int positions, int seen, const py::object& words, const py::object& score,
              const py::object& query, const py::object& gates, const py::object& logits) {
    net_.positions = size("P", positions, kMostWidth);
    net_.seen = size("S", seen, kMostInputs);
    const ArrayView table =
        weights("words must be a contiguous (V, E) float32 array", words, "float32", {kAny, kAny});
    net_.words = pointer_to<const float>(table);
    net_.tokens = size("V", table.shape[0], kMostWidth);
    net_.embedding = size("E", table.shape[1], kMostInputs);
    const ArrayView scores =
        weights("score must be a contiguous (A,) float32 array", score, "float32", {kAny});
    net_.score = pointer_to<const float>(scores);
    net_.attention = size("A", scores.shape[0], kMostInputs);
    const ArrayView gates_bias = weights(kBiasRule, three_of(gates)[1], "float32", {kAny});
    const py::ssize_t four_hidden = gates_bias.shape[0];
    require(four_hidden % 4 == 0, kOperation, "the gates must be 4 H; got ", four_hidden);
    net_.hidden = size("H", four_hidden / 4, kMostInputs / 4);
    net_.query = product(query, net_.embedding + net_.hidden, net_.attention);
    net_.gates = product(gates, net_.embedding + seen + net_.hidden, 4 * net_.hidden);
    net_.logits = product(logits, net_.hidden, net_.tokens);
  }

  void run(const py::object& token, const py::object& h, const py::object& c,
           const py::object& features, const py::object& logits, const py::object& h_out,
           const py::object& c_out) const {
    HostArrays arrays(kOperation);
    const ArrayView tokens =
        arrays.packed("token must be a contiguous (N,) int64 array", token, "int64", {kAny});
    const py::ssize_t n = size("N", tokens.shape[0], kMostRows);
    const py::ssize_t hidden = net_.hidden;
    const Given given = given_of(arrays, n, h, c, features);
    const ArrayView out_logits =
        arrays.packed_out("logits must be a contiguous, writable (N, V) float32 array", logits,
                          "float32", {n, net_.tokens});
    const ArrayView out_h = arrays.packed_out(
        "h_out must be a contiguous, writable (N, H) float32 array", h_out, "float32", {n, hidden});
    const ArrayView out_c = arrays.packed_out(
        "c_out must be a contiguous, writable (N, H) float32 array", c_out, "float32", {n, hidden});
    arrays.require_all_apart({tokens, given.h, given.c, given.features},
                             {out_logits, out_h, out_c});
    require_apart_from_weights(arrays, {out_logits, out_h, out_c});
    const std::vector<std::int64_t> words = copy_of<std::int64_t>(tokens);
    for (const std::int64_t word : words) {
      require(word >= 0 && word < net_.tokens, kOperation, "token must be in 0..", net_.tokens - 1,
              "; got ", word);
    }
    const LstmRows rows{static_cast<int>(n),
                        words.data(),
                        pointer_to<const float>(given.h),
                        pointer_to<const float>(given.c),
                        pointer_to<const float>(given.features),
                        pointer_to<float>(out_logits),
                        pointer_to<float>(out_h),
                        pointer_to<float>(out_c)};
    const py::gil_scoped_release unlocked;
    lstm_step_cpu(net_, rows);
  }

  // Returns how many steps were taken.
  int greedy(const py::object& h, const py::object& c, const py::object& features,
             const py::object& token, const py::object& probability, int begin, int end) const {
    HostArrays arrays(kGreedy);
    const ArrayView tokens = arrays.packed_out(
        "token must be a contiguous, writable (T, N) int64 array", token, "int64", {kAny, kAny});
    const py::ssize_t steps = size("T", tokens.shape[0], kMostSteps, kGreedy);
    const py::ssize_t n = size("N", tokens.shape[1], kMostRows, kGreedy);
    const ArrayView probabilities =
        arrays.packed_out("probability must be a contiguous, writable (T, N) float32 array",
                          probability, "float32", {steps, n});
    const Given given = given_of(arrays, n, h, c, features);
    arrays.require_all_apart({given.h, given.c, given.features}, {tokens, probabilities});
    require_apart_from_weights(arrays, {tokens, probabilities});
    for (const int word : {begin, end}) {
      require(word >= 0 && word < net_.tokens, kGreedy, "begin and end must be in 0..",
              net_.tokens - 1, "; got ", word);
    }
    const LstmGreedy job{static_cast<int>(n),
                         static_cast<int>(steps),
                         begin,
                         end,
                         pointer_to<const float>(given.h),
                         pointer_to<const float>(given.c),
                         pointer_to<const float>(given.features),
                         pointer_to<std::int64_t>(tokens),
                         pointer_to<float>(probabilities)};
    const py::gil_scoped_release unlocked;
    return lstm_greedy_cpu(net_, job);
  }

 private:
  struct Given {
    ArrayView h, c, features;
  };

  static constexpr const char* kProductRule =
      "a product must be (weights, bias, scale), scale None where weights are float32";
  static constexpr const char* kBiasRule =
      "bias must be a contiguous float32 array, one value for each output";

  static int size(const char* name, py::ssize_t value, py::ssize_t most,
                  const char* operation = kOperation) {
    require(value >= 1 && value <= most, operation, name, " must be in 1..", most, "; got ", value);
    return static_cast<int>(value);
  }

  Given given_of(Arrays& arrays, py::ssize_t n, const py::object& h, const py::object& c,
                 const py::object& features) const {
    return {arrays.packed("h must be a contiguous (N, H) float32 array", h, "float32",
                          {n, net_.hidden}),
            arrays.packed("c must be a contiguous (N, H) float32 array", c, "float32",
                          {n, net_.hidden}),
            arrays.packed("features must be a contiguous (N, P, D) float32 array", features,
                          "float32", {n, net_.positions, net_.seen + net_.attention})};
  }

  void require_apart_from_weights(const Arrays& arrays,
                                  std::initializer_list<ArrayView> outs) const {
    for (const ArrayView& one : weights_) {
      for (const ArrayView& out : outs) arrays.require_apart(one, out);
    }
  }

  ArrayView weights(const char* rule, const py::handle& value, const char* dtype,
                    std::initializer_list<py::ssize_t> shape) {
    weights_.push_back(arrays_.packed(rule, value, dtype, shape));
    return weights_.back();
  }

  static py::tuple three_of(const py::object& product) {
    const bool is_three = py::isinstance<py::tuple>(product) && py::len(product) == 3;
    if (!is_three) require(false, kOperation, kProductRule, "; got ", shown(product));
    return product;
  }

  LstmProduct product(const py::object& product, int inputs, int outputs) {
    const py::tuple given = three_of(product);
    require(inputs <= kMostInputs, kOperation, "a product must have at most ", kMostInputs,
            " inputs; got ", inputs);
    LstmProduct made{};
    made.inputs = inputs;
    made.outputs = outputs;
    const py::ssize_t blocks = (outputs + kLstmBlock - 1) / kLstmBlock;
    made.bias = pointer_to<const float>(weights(kBiasRule, given[1], "float32", {outputs}));
    if (given[2].is_none()) {
      made.in_float = pointer_to<const float>(
          weights("float weights must be a contiguous (outputs / 16, inputs, 16) float32 array",
                  given[0], "float32", {blocks, inputs, kLstmBlock}));
      return made;
    }
    const py::ssize_t groups = (inputs + kLstmGroup - 1) / kLstmGroup;
    made.int8 = pointer_to<const std::int8_t>(
        weights("int8 weights must be a contiguous (outputs / 16, inputs / 4, 16, 4) int8 array",
                given[0], "int8", {blocks, groups, kLstmBlock, kLstmGroup}));
    sums_.emplace_back(static_cast<std::size_t>(blocks) * kLstmBlock);
    lstm_add_up(made.int8, blocks, groups, sums_.back().data());
    made.sums = sums_.back().data();
    made.scale = Argument<float>(kOperation, "scale", given[2]).get();
    require(std::isfinite(made.scale), kOperation, "scale must be finite; got ", made.scale);
    return made;
  }

  LstmStep net_{};
  HostArrays arrays_{kOperation};
  std::vector<ArrayView> weights_;
  std::list<std::vector<std::int32_t>> sums_;
};

std::unique_ptr<LstmStepNet> make_net(int positions, int seen, const py::object& words,
                                      const py::object& score, const py::object& query,
                                      const py::object& gates, const py::object& logits) {
  return std::make_unique<LstmStepNet>(positions, seen, words, score, query, gates, logits);
}

}  // namespace

void bind_lstm_step(py::module_& m) {
  py::class_<LstmStepNet> step(m, "LstmStep");
  define_init(step, kOperation, &make_net, py::arg("positions"), py::arg("seen"), py::arg("words"),
              py::arg("score"), py::arg("query"), py::arg("gates"), py::arg("logits"));
  step.def("run", &LstmStepNet::run, py::arg("token"), py::arg("h"), py::arg("c"),
           py::arg("features"), py::arg("logits"), py::arg("h_out"), py::arg("c_out"));
  define_method(step, kGreedy, "greedy", &LstmStepNet::greedy, py::arg("h"), py::arg("c"),
                py::arg("features"), py::arg("token"), py::arg("probability"), py::arg("begin"),
                py::arg("end"));
}

}  // namespace edgedl
