// Kernels for chains of elementwise operators: y[i] = f(x0[i], x1[i] …), written as SPIR-V from the chain's formula.
// Inputs are reached by address, with the output's place (dense), one value for all (one), or steps along axes (strided).
#pragma once
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "engine/plan/expression.hpp"
#include "orrery/ext/vulkan.h"

namespace orrery::vulkan {

constexpr uint32_t kChainGroup = 256;  // invocations of a workgroup

// How a kernel walks, which decides its code. Sizes and steps are push constants: the code is the same for all of them.
struct ChainForm {
    enum class Walk : uint8_t { dense, one, strided, repeated /* strided, one value for four neighbours */ };
    uint32_t width = 1;  // elements an invocation: 1 or 4
    uint32_t axes = 0;   // of strided inputs
    bool keep_special = false;  // zeros' signs, inf and NaN are asked for (SignedZeroInfNanPreserve)
    std::vector<Walk> walks;    // one an input
    auto operator<=>(const ChainForm&) const = default;
};

struct ChainLoop {
    ChainForm form;
    uint32_t n = 0;                  // invocations
    std::vector<uint32_t> numbers;   // extents of all axes but the outermost, from the inside; then of each strided input the steps of all
    uint32_t push_bytes() const { return static_cast<uint32_t>((form.walks.size() + 1) * 8 + 4 + numbers.size() * 4); }
};

// False with a reason when a kernel cannot walk so. placed: addresses are known, and four elements may go at a time.
bool make_chain_loop(const std::vector<const orr_tensor*>& ins, const orr_tensor& out, bool placed, ChainLoop& loop, std::string& reason);

std::vector<uint32_t> write_chain(const Expression& expression, const ChainForm& form);

// Those of one device, each code once: pipelines are known by their shader's address.
class ChainShaders {
  public:
    const orr_vulkan_shader& find(const Expression& expression, const ChainForm& form);

  private:
    struct Entry {
        std::vector<uint32_t> code;
        std::string name;
        orr_vulkan_shader shader;
    };
    std::mutex mutex_;
    std::deque<Entry> entries_;
    std::map<std::vector<uint32_t>, const Entry*> by_code_;
};

}  // namespace orrery::vulkan
