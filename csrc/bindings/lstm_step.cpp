#include "bindings/lstm_step.h"

#include <cstdint>
#include <list>
#include <vector>

#include "bindings/arrays.h"
#include "core/error.h"
#include "kernels/lstm_step.h"

namespace py = pybind11;

namespace edgedl {
namespace {

constexpr const char* kOperation = "lstm_step";
constexpr int kMostInputs = 32768;  // with more, a sum of products of bytes may not fit 32 bits
constexpr int kMostWidth = 1 << 20;

template <class T>
const T* data(const py::array& array) {
  return static_cast<const T*>(array.data());
}

// A decoder: the arrays of its weights, and where in them what is.
class LstmStepNet {
 public:
  LstmStepNet(int positions, int seen, const py::object& words, const py::object& score,
              const py::tuple& query, const py::tuple& gates, const py::tuple& logits) {
    require(positions > 0 && positions <= kMostWidth && seen > 0 && seen <= kMostInputs, kOperation,
            "positions and seen must be in 1..", kMostInputs, "; got ", positions, " and ", seen);
    net_.positions = positions;
    net_.seen = seen;
    const py::array& table =
        keep("words must be a contiguous (V, E) float32 array", words, "float32", {kAny, kAny});
    net_.words = data<float>(table);
    net_.tokens = size("V", table.shape(0), kMostWidth);
    net_.embedding = size("E", table.shape(1), kMostInputs);
    const py::array& scores =
        keep("score must be a contiguous (A,) float32 array", score, "float32", {kAny});
    net_.score = data<float>(scores);
    net_.attention = size("A", scores.shape(0), kMostInputs);
    require(gates.size() == 3 && py::isinstance<py::array>(gates[1]), kOperation, kProductRule);
    const py::ssize_t four_hidden = py::reinterpret_borrow<py::array>(gates[1]).size();
    require(four_hidden % 4 == 0, kOperation, "the gates must be 4 H; got ", four_hidden);
    net_.hidden = size("H", four_hidden / 4, kMostInputs / 4);
    net_.query = product(query, net_.embedding + net_.hidden, net_.attention);
    net_.gates = product(gates, net_.embedding + seen + net_.hidden, 4 * net_.hidden);
    net_.logits = product(logits, net_.hidden, net_.tokens);
  }

  void run(const py::object& token, const py::object& h, const py::object& c,
           const py::object& features, const py::object& logits, const py::object& h_out,
           const py::object& c_out) const {
    const py::array tokens = checked_array(
        kOperation, "token must be a contiguous (N,) int64 array", token, "int64", {kAny});
    const py::ssize_t n = tokens.shape(0);
    require(n >= 1 && n <= 65536, kOperation, "N must be in 1..65536; got ", n);
    const py::ssize_t hidden = net_.hidden;
    const py::array in_h = checked_array(kOperation, "h must be a contiguous (N, H) float32 array",
                                         h, "float32", {n, hidden});
    const py::array in_c = checked_array(kOperation, "c must be a contiguous (N, H) float32 array",
                                         c, "float32", {n, hidden});
    const py::array in_features =
        checked_array(kOperation, "features must be a contiguous (N, P, D) float32 array", features,
                      "float32", {n, net_.positions, net_.seen + net_.attention});
    LstmRows rows{};
    rows.rows = static_cast<int>(n);
    rows.token = data<std::int64_t>(tokens);
    rows.h = data<float>(in_h);
    rows.c = data<float>(in_c);
    rows.features = data<float>(in_features);
    rows.logits = static_cast<float*>(
        checked_out(kOperation, "logits must be a contiguous, writable (N, V) float32 array",
                    logits, "float32", {n, net_.tokens}));
    rows.h_out = static_cast<float*>(
        checked_out(kOperation, "h_out must be a contiguous, writable (N, H) float32 array", h_out,
                    "float32", {n, hidden}));
    rows.c_out = static_cast<float*>(
        checked_out(kOperation, "c_out must be a contiguous, writable (N, H) float32 array", c_out,
                    "float32", {n, hidden}));
    const py::array outs[] = {py::reinterpret_borrow<py::array>(logits),
                              py::reinterpret_borrow<py::array>(h_out),
                              py::reinterpret_borrow<py::array>(c_out)};
    for (const py::array& out : outs) {
      for (const py::array* in : {&tokens, &in_h, &in_c, &in_features}) {
        require_apart(kOperation, *in, out);
      }
      for (const py::array& weights : kept_) require_apart(kOperation, weights, out);
    }
    require_apart(kOperation, outs[0], outs[1]);
    require_apart(kOperation, outs[0], outs[2]);
    require_apart(kOperation, outs[1], outs[2]);
    for (py::ssize_t i = 0; i < n; ++i) {
      require(rows.token[i] >= 0 && rows.token[i] < net_.tokens, kOperation, "token must be in 0..",
              net_.tokens - 1, "; got ", rows.token[i]);
    }
    const py::gil_scoped_release unlocked;
    lstm_step_cpu(net_, rows);
  }

 private:
  static constexpr const char* kProductRule =
      "a product must be (weights, bias, scale), scale None where weights are float32";

  static int size(const char* name, py::ssize_t value, py::ssize_t most) {
    require(value >= 1 && value <= most, kOperation, name, " must be in 1..", most, "; got ",
            value);
    return static_cast<int>(value);
  }

  const py::array& keep(const char* rule, const py::handle& value, const char* dtype,
                        std::initializer_list<py::ssize_t> shape) {
    kept_.push_back(checked_array(kOperation, rule, value, dtype, shape));
    return kept_.back();
  }

  LstmProduct product(const py::tuple& given, int inputs, int outputs) {
    require(given.size() == 3, kOperation, kProductRule, "; got ", given.size(), " values");
    require(inputs <= kMostInputs, kOperation, "a product must have at most ", kMostInputs,
            " inputs; got ", inputs);
    LstmProduct made{};
    made.inputs = inputs;
    made.outputs = outputs;
    const py::ssize_t blocks = (outputs + kLstmBlock - 1) / kLstmBlock;
    made.bias =
        data<float>(keep("bias must be a contiguous float32 array, one value for each output",
                         given[1], "float32", {outputs}));
    if (given[2].is_none()) {
      made.in_float = data<float>(
          keep("float weights must be a contiguous (outputs / 16, inputs, 16) float32 array",
               given[0], "float32", {blocks, inputs, kLstmBlock}));
      return made;
    }
    const py::ssize_t groups = (inputs + kLstmGroup - 1) / kLstmGroup;
    made.int8 = data<std::int8_t>(
        keep("int8 weights must be a contiguous (outputs / 16, inputs / 4, 16, 4) int8 array",
             given[0], "int8", {blocks, groups, kLstmBlock, kLstmGroup}));
    sums_.emplace_back(static_cast<std::size_t>(blocks) * kLstmBlock);
    lstm_add_up(made.int8, blocks, groups, sums_.back().data());
    made.sums = sums_.back().data();
    made.scale = given[2].cast<float>();
    return made;
  }

  LstmStep net_{};
  std::vector<py::array> kept_;
  std::list<std::vector<std::int32_t>> sums_;
};

}  // namespace

void bind_lstm_step(py::module_& m) {
  py::class_<LstmStepNet>(m, "LstmStep")
      .def(py::init<int, int, const py::object&, const py::object&, const py::tuple&,
                    const py::tuple&, const py::tuple&>(),
           py::arg("positions"), py::arg("seen"), py::arg("words"), py::arg("score"),
           py::arg("query"), py::arg("gates"), py::arg("logits"))
      .def("run", &LstmStepNet::run, py::arg("token"), py::arg("h"), py::arg("c"),
           py::arg("features"), py::arg("logits"), py::arg("h_out"), py::arg("c_out"));
}

}  // namespace edgedl
