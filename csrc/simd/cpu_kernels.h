// What one target has: see simd/targets.h.
#pragma once

#include "kernels/best_class_cpu.h"
#include "kernels/denormalize_cpu.h"
#include "kernels/frame_difference_cpu.h"
#include "kernels/lstm_step_cpu.h"
#include "kernels/nms_cpu.h"
#include "kernels/overlay_cpu.h"
#include "kernels/preprocess_area_cpu.h"
#include "kernels/preprocess_cpu.h"
#include "kernels/softmax_cpu.h"

namespace edgedl {

// The kernels as compiled for one target: all targets give the same bits.
struct CpuKernels {
  const char* name;
  bool (*supported)();
  DenormalizePixels denormalize_gray;
  DenormalizePixels denormalize_color;
  SumRows sum_rows;
  AreaAcrossRows area_across_rows;
  AreaDown area_down;
  AreaRound area_round;
  BoxDown box_down;
  BoxRound box_round;
  LstmStepRows lstm_step_rows;
  LinearAcross linear_across;
  LinearDown linear_down;
  LinearDownFloat32 linear_down_float32;
  PickPixels pick_pixels;
  SplitPixels split_pixels;
  PickPairs pick_pairs;
  DoublePairs double_pairs;
  YuvToRgbLine yuv_to_rgb_line;
  GrayLine gray_line;
  InterleaveLine interleave_line;
  WriteFloat32 write_float32;
  WriteFloat16 write_float16;
  WriteInt8 write_int8;
  ReverseLine reverse_line;
  ReadBytes read_bytes;
  BestOfColumns best_of_columns;
  BestOfRow best_of_row;
  NmsNextSuspects nms_next_suspects;
  OverlayColor overlay_color;
  OverlayCovered overlay_covered;
  OverlayHeatLine overlay_heat_line;
  ChunkMaxima chunk_maxima;
  SumOfExp sum_of_exp;
};

}  // namespace edgedl
