// lstm_step: one step of a caption decoder, an LSTM that looks at features, with int8 weights.
//
//   query    (A)      = [word, h] Wq                  word: the token's row of the embeddings
//   energy   (P)      = sum over A of score tanh(key + query)
//   context  (S)      = sum over P of softmax(energy) seen
//   i, f, g, o (4H)   = [word, context, h] Wg + bg
//   c'                = sigmoid(f) c + sigmoid(i) tanh(g),  h' = sigmoid(o) tanh(c')
//   logits   (V)      = h' Wl + bl
//
// Each of a row's features is what was seen at a position, S values, and its key, A values.
//
// A product with int8 weights quantises its input to uint8, as ONNX's DynamicQuantizeLinear does,
// but each row by its own range: what a row gives does not depend on the others. Its sums are
// exact. Float products add in order of the inputs, sums over A and P in 16 lanes.
#pragma once

#include <cstdint>

namespace edgedl {

constexpr int kLstmBlock = 16;  // outputs of a product that lie together
constexpr int kLstmGroup = 4;   // inputs of int8 weights that lie together

// y = x W + bias. Weights beyond the last output or input are zero.
struct LstmProduct {
  int inputs, outputs;
  const float* in_float;     // (blocks, inputs, 16), or null
  const std::int8_t* int8;   // else (blocks, groups, 16, 4)
  float scale;               // of int8: weight = scale * int8
  const std::int32_t* sums;  // of int8 over its inputs, (blocks * 16)
  const float* bias;         // (outputs)
};

struct LstmStep {
  int tokens, embedding, hidden, attention, seen, positions;
  const float* words;  // (tokens, embedding)
  const float* score;  // (attention)
  LstmProduct query, gates, logits;
};

// Packed; the outputs overlap neither the inputs nor each other.
struct LstmRows {
  int rows;
  const std::int64_t* token;  // (N), each in 0..tokens - 1
  const float* h;             // (N, hidden)
  const float* c;             // (N, hidden)
  const float* features;      // (N, positions, seen + attention)
  float* logits;              // (N, tokens)
  float* h_out;               // (N, hidden)
  float* c_out;               // (N, hidden)
};

// Sums of int8 weights (blocks, groups, 16, 4) over their inputs.
void lstm_add_up(const std::int8_t* int8, std::int64_t blocks, std::int64_t groups,
                 std::int32_t* sums);

void lstm_step_cpu(const LstmStep& net, const LstmRows& rows);

}  // namespace edgedl
