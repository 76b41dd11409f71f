// AVX2 with AVX-VNNI (256 bits, no AVX-512): Intel Alder Lake and later.
#include <immintrin.h>

#include "kernel_macros.hpp"
#include "kernel_table.hpp"

#define ORR_QUANT_VNNI 1

namespace orrery::quant {
namespace {

constexpr int kStripTokens = 4;
constexpr int kStripTokens2 = 3;
constexpr int kFloatTokens = 6;

#include "kernel_ops_avx2.hpp"
#include "kernel_body.hpp"

}  // namespace

const KernelTable& avxvnni_kernels() { return kTable; }

}  // namespace orrery::quant
