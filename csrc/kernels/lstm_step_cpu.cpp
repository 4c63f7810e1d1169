#include <algorithm>
#include <memory>

#include "kernels/lstm_step.h"
#include "simd/targets.h"

namespace edgedl {

void lstm_add_up(const std::int8_t* int8, std::int64_t blocks, std::int64_t groups,
                 std::int32_t* sums) {
  for (; blocks > 0; --blocks, sums += kLstmBlock) {
    std::fill(sums, sums + kLstmBlock, 0);
    for (std::int64_t g = 0; g < groups; ++g, int8 += kLstmBlock * kLstmGroup) {
      for (int i = 0; i < kLstmBlock * kLstmGroup; ++i) sums[i / kLstmGroup] += int8[i];
    }
  }
}

void lstm_step_cpu(const LstmStep& net, const LstmRows& rows) {
  const auto n = static_cast<std::size_t>(rows.rows);
  const auto attention = static_cast<std::size_t>(net.attention);
  const std::size_t looked = n * static_cast<std::size_t>(net.query.inputs);
  const std::size_t query = n * attention;
  const std::size_t weights = static_cast<std::size_t>(net.positions);
  const std::size_t read = n * static_cast<std::size_t>(net.gates.inputs);
  const std::size_t gates = n * 4 * static_cast<std::size_t>(net.hidden);
  const auto most = static_cast<std::size_t>(
      std::max({net.query.inputs, net.gates.inputs, net.logits.inputs}) + kLstmGroup - 1);
  const std::unique_ptr<float[]> floats(
      new float[looked + query + attention + weights + read + gates + n]);
  const std::unique_ptr<std::int32_t[]> zeros(new std::int32_t[n]);
  const std::unique_ptr<std::uint8_t[]> bytes(new std::uint8_t[n * most]);
  float* next = floats.get();
  const auto take = [&next](std::size_t count) {
    float* taken = next;
    next += count;
    return taken;
  };
  LstmRoom room{};
  room.looked = take(looked);
  room.query = take(query);
  room.terms = take(attention);
  room.weights = take(weights);
  room.read = take(read);
  room.gates = take(gates);
  room.scales = take(n);
  room.zeros = zeros.get();
  room.bytes = bytes.get();
  active_target().lstm_step_rows(net, rows, room);
}

}  // namespace edgedl
