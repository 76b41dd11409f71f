// Writes GGUF bytes field by field, right or wrong.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "formats/gguf/gguf.h"

namespace orrery::formats::test {

class GgufBytes {
  public:
    template <typename T>
    GgufBytes& put(T value) {
        char raw[sizeof value];
        std::memcpy(raw, &value, sizeof value);
        bytes.append(raw, sizeof value);
        return *this;
    }
    GgufBytes& u8(uint8_t v) { return put(v); }
    GgufBytes& u32(uint32_t v) { return put(v); }
    GgufBytes& u64(uint64_t v) { return put(v); }
    GgufBytes& text(const std::string& v) {
        u64(v.size());
        bytes += v;
        return *this;
    }
    GgufBytes& header(uint64_t tensors, uint64_t keys, uint32_t version = 3) {
        bytes += "GGUF";
        return u32(version).u64(tensors).u64(keys);
    }
    GgufBytes& key(const std::string& name, GgufType type) { return text(name).u32(static_cast<uint32_t>(type)); }
    GgufBytes& array(const std::string& name, GgufType element, uint64_t count) {
        return key(name, GgufType::kArray).u32(static_cast<uint32_t>(element)).u64(count);
    }
    GgufBytes& tensor(const std::string& name, const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset) {
        text(name).u32(static_cast<uint32_t>(dims.size()));
        for (const uint64_t d : dims) u64(d);
        return u32(type).u64(offset);
    }
    GgufBytes& pad(size_t alignment = 32) {
        while (bytes.size() % alignment) bytes += '\0';
        return *this;
    }
    GgufBytes& data(size_t size) {
        bytes.append(size, '\x11');
        return *this;
    }
    std::string bytes;
};

}  // namespace orrery::formats::test
