#include "common/copy_vulkan.hpp"

#include "copy_shaders.hpp"
#include "core/copy/params.h"

namespace orrery::core {
namespace {

const orr_vulkan_shader& copy_shader(int64_t bytes) {
    switch (bytes) {
        case 1:
            return shaders::copy_8;
        case 2:
            return shaders::copy_16;
        case 4:
            return shaders::copy_32;
        case 8:
            return shaders::copy_64;
        default:
            return shaders::copy_128;
    }
}

// Neighbouring elements move together, up to 16 bytes, where both sides are contiguous and aligned for that.
int64_t widest(Loop<2>& loop, uint64_t dst, uint64_t src, int64_t bytes) {
    while (bytes < 16 && loop.step[0] == bytes && loop.step[1] == bytes && loop.inner % 2 == 0) {
        const uint64_t wide = static_cast<uint64_t>(bytes) * 2;
        bool fits = dst % wide == 0 && src % wide == 0;
        for (int32_t k = 0; k < loop.rank; k++)
            fits = fits && static_cast<uint64_t>(loop.stride[0][k]) % wide == 0 && static_cast<uint64_t>(loop.stride[1][k]) % wide == 0;
        if (!fits) break;
        bytes *= 2;
        loop.inner /= 2;
        loop.step = {bytes, bytes};
    }
    return bytes;
}

}  // namespace

bool can_copy(const orr_prepare* p, int64_t bytes, char* reason, size_t size) {
    if (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8)
        return refuse(reason, size, "elements have " + std::to_string(bytes) + " bytes; it takes 1, 2, 4 and 8");
    return vk::can_run(vk::device(p), copy_shader(bytes), reason, size);
}

orr_status record_copy(const orr_run* run, int32_t rank, const Index& shape, uint64_t dst, const Index& stride_dst, uint64_t src,
                       const Index& stride_src, int64_t bytes) {
    auto loop = make_loop<2>(rank, shape, {stride_dst, stride_src});
    if (loop.rows == 0) return ORR_OK;
    bytes = widest(loop, dst, src, bytes);
    shaders::CopyParams p{};
    p.x = src;
    p.y = dst;
    p.n = static_cast<uint32_t>(loop.rows * loop.inner);
    put_extents(loop, p.extent);
    put_strides(loop, 0, bytes, p.stride_y);
    put_strides(loop, 1, bytes, p.stride_x);
    return vk::dispatch(run, copy_shader(bytes), {axes_of(loop)}, p, groups_of(p.n));
}

}  // namespace orrery::core
