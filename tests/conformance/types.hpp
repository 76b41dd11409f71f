// Element types as the kit knows them: plain scalars, and block types that plugins bring.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "orrery/plugin.h"

namespace orrery::conformance {

struct Type {
    std::string id;
    uint32_t number = 0;
    uint32_t block_elems = 1;
    uint32_t block_bytes = 0;
    const orr_type* block = nullptr;  // of block types

    bool is_float() const { return block || number <= ORR_TYPE_F64; }
};

// Bytes of `elems` elements that lie in one row.
inline int64_t row_bytes(const Type& t, int64_t elems) { return (elems + t.block_elems - 1) / t.block_elems * t.block_bytes; }

class Types {
  public:
    Types();
    // Adds a plugin's block types; a second one of the same id is passed over.
    void add(const orr_types* table);
    // Throws for an unknown id or number.
    const Type& get(const std::string& id) const;
    const Type& get(uint32_t number) const;

  private:
    std::deque<Type> items_;
};

// Values between numbers and storage. Rows of block types must hold whole blocks.
std::vector<uint8_t> encode(const Type& t, const std::vector<double>& values);
std::vector<uint8_t> encode_integers(const Type& t, const std::vector<int64_t>& values);
std::vector<double> decode(const Type& t, const uint8_t* bytes, int64_t elems);

}  // namespace orrery::conformance
