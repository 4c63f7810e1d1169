// One target: the including file defines EDGEDL_TARGET and EDGEDL_SUPPORTED. Everything below is
// compiled with that target's instructions, so nothing here or in a *_cpu.inl may instantiate a
// template of the standard library: the linker could keep that copy for every target.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/best_class_math.h"
#include "kernels/denormalize_math.h"
#include "kernels/lstm_step_math.h"
#include "kernels/nms_math.h"
#include "kernels/overlay_math.h"
#include "kernels/preprocess_math.h"
#include "kernels/softmax_math.h"
#include "simd/cpu_kernels.h"

namespace edgedl::EDGEDL_TARGET {

#include "kernels/preprocess_vectors_cpu.inl"

#include "kernels/interleave_cpu.inl"
#include "kernels/preprocess_planes_cpu.inl"

#include "kernels/best_class_cpu.inl"
#include "kernels/denormalize_cpu.inl"
#include "kernels/frame_difference_cpu.inl"
#include "kernels/lstm_step_cpu.inl"
#include "kernels/nms_cpu.inl"
#include "kernels/overlay_cpu.inl"
#include "kernels/preprocess_area_cpu.inl"
#include "kernels/preprocess_color_cpu.inl"
#include "kernels/preprocess_linear_across_cpu.inl"
#include "kernels/preprocess_linear_down_cpu.inl"
#include "kernels/preprocess_touch_cpu.inl"
#include "kernels/preprocess_writer_cpu.inl"
#include "kernels/softmax_cpu.inl"

#define EDGEDL_TEXT_OF(name) #name
#define EDGEDL_NAME_OF(name) EDGEDL_TEXT_OF(name)

bool supported() {
  return EDGEDL_SUPPORTED;
}

extern const CpuKernels kernels;
const CpuKernels kernels{
    EDGEDL_NAME_OF(EDGEDL_TARGET),
    &supported,
    &denormalize_gray,
    &denormalize_color,
    &sum_rows,
    &area_across_rows,
    &area_down,
    &area_round,
    &box_down,
    &box_round,
    &lstm_step_rows,
    &linear_across,
    &linear_down,
    &linear_down_float32,
    &pick_pixels,
    &split_pixels,
    &pick_pairs,
    &double_pairs,
    &yuv_to_rgb_line,
    &gray_line,
    &interleave_line,
    &write_float32,
    &write_float16,
    &write_int8,
    &reverse_line,
    &read_bytes,
    &best_of_columns,
    &best_of_row,
    &nms_next_suspects,
    &overlay_color,
    &overlay_covered,
    &overlay_heat_line,
    &chunk_maxima,
    &sum_of_exp,
};

}  // namespace edgedl::EDGEDL_TARGET
