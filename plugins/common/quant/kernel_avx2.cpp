// AVX2 with FMA and F16C, without VNNI.
#include <immintrin.h>

#include "kernel_macros.hpp"
#include "kernel_table.hpp"

#define ORR_QUANT_VNNI 0

namespace orrery::quant {
namespace {

constexpr int kStripTokens = 4;
constexpr int kStripTokens2 = 3;
constexpr int kFloatTokens = 6;

#include "kernel_ops_avx2.hpp"
#include "kernel_body.hpp"

}  // namespace

const KernelTable& avx2_kernels() { return kTable; }

}  // namespace orrery::quant
