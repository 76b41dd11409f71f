// Option structs as hosts give them.
#pragma once
#include <algorithm>
#include <cstring>
#include <string>

#include "orrery/plugin.hpp"

namespace orrery {

// A copy in which members that the host's version lacks are zero. given NULL: all are. Throws ORR_ABI_MISMATCH.
template <class T>
T copy_options(const T* given, const char* name) {
    T copy{};
    if (!given) return copy;
    if (given->header.abi_major != ORR_ABI_MAJOR)
        throw Error(ORR_ABI_MISMATCH, std::string(name) + ": ABI major " + std::to_string(given->header.abi_major) + ", this library has " + std::to_string(ORR_ABI_MAJOR));
    if (given->header.struct_size < sizeof(orr_header)) throw Error(ORR_ABI_MISMATCH, std::string(name) + ": struct_size is " + std::to_string(given->header.struct_size));
    std::memcpy(static_cast<void*>(&copy), given, std::min<size_t>(given->header.struct_size, sizeof copy));
    return copy;
}

}  // namespace orrery
