#include "engine/backend/vulkan/spirv_writer.hpp"

namespace orrery::vulkan {
namespace {
constexpr uint32_t kMagic = 0x07230203, kVersion = 0x00010500;
}

void SpirvWriter::write(Section section, spv::Op op, const Words& operands) {
    Words& to = sections_[section];
    to.push_back(static_cast<uint32_t>(operands.size() + 1) << 16 | op);
    to.insert(to.end(), operands.begin(), operands.end());
}

uint32_t SpirvWriter::result(spv::Op op, uint32_t type, const Words& operands) {
    Words all = {type, id()};
    all.insert(all.end(), operands.begin(), operands.end());
    write(code, op, all);
    return all[1];
}

// key: what stands behind the result's id, the result type first where there is one.
uint32_t SpirvWriter::once(spv::Op op, const Words& key, bool typed) {
    Words whole = {op};
    whole.insert(whole.end(), key.begin(), key.end());
    const auto [it, fresh] = known_.emplace(whole, last_ + 1);
    if (!fresh) return it->second;
    Words operands = key;
    operands.insert(operands.begin() + (typed ? 1 : 0), id());
    write(globals, op, operands);
    return it->second;
}

uint32_t SpirvWriter::type(spv::Op op, const Words& operands) { return once(op, operands, false); }

uint32_t SpirvWriter::constant(uint32_t type, uint32_t bits) { return once(spv::Constant, {type, bits}, true); }

uint32_t SpirvWriter::composite(uint32_t type, const Words& parts) {
    Words key = {type};
    key.insert(key.end(), parts.begin(), parts.end());
    return once(spv::ConstantComposite, key, true);
}

uint32_t SpirvWriter::variable(uint32_t pointer, uint32_t storage) {
    const uint32_t v = id();
    write(globals, spv::Variable, {pointer, v, storage});
    return v;
}

SpirvWriter::Words SpirvWriter::text(std::string_view text) {
    Words out(text.size() / 4 + 1, 0);
    for (size_t i = 0; i < text.size(); i++) out[i / 4] |= static_cast<uint32_t>(static_cast<unsigned char>(text[i])) << (i % 4 * 8);
    return out;
}

SpirvWriter::Words SpirvWriter::finish() const {
    Words out = {kMagic, kVersion, 0, last_ + 1, 0};
    for (const Words& section : sections_) out.insert(out.end(), section.begin(), section.end());
    return out;
}

}  // namespace orrery::vulkan
