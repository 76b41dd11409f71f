// ELF as in the System V ABI, "Object Files" (gabi, chapters 4 and 5).
#include "exports.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>

namespace orrery::conformance {
namespace {

constexpr uint32_t kDynamicSymbols = 11;           // SHT_DYNSYM
constexpr uint16_t kUndefined = 0, kAbsolute = 0xfff1;  // SHN_UNDEF; SHN_ABS: names of symbol versions
constexpr unsigned kLocal = 0;                     // STB_LOCAL
constexpr unsigned kInternal = 1, kHidden = 2;     // STV_*

struct File {
    std::string bytes;
    bool wide = false;  // 64 bits

    template <class T>
    std::optional<T> at(uint64_t offset) const {
        T value;
        if (offset > bytes.size() || bytes.size() - offset < sizeof value) return std::nullopt;
        std::memcpy(&value, bytes.data() + offset, sizeof value);
        return value;
    }
    // An address or offset, as wide as the file's class.
    std::optional<uint64_t> word(uint64_t offset) const {
        if (wide) return at<uint64_t>(offset);
        const auto v = at<uint32_t>(offset);
        return v ? std::optional<uint64_t>(*v) : std::nullopt;
    }
    std::optional<std::string> text(uint64_t offset, uint64_t end) const {
        if (offset >= end || end > bytes.size()) return std::nullopt;
        const auto* from = bytes.data() + offset;
        const auto* zero = static_cast<const char*>(std::memchr(from, 0, end - offset));
        if (!zero) return std::nullopt;
        return std::string(from, zero);
    }
};

struct Section {
    uint32_t type = 0, link = 0;
    uint64_t offset = 0, size = 0, entry = 0;
};

std::optional<Section> section(const File& f, uint64_t table, uint64_t entry_bytes, uint64_t index) {
    const uint64_t at = table + index * entry_bytes;
    const auto type = f.at<uint32_t>(at + 4), link = f.at<uint32_t>(at + (f.wide ? 40 : 24));
    const auto offset = f.word(at + (f.wide ? 24 : 16)), size = f.word(at + (f.wide ? 32 : 20)), entry = f.word(at + (f.wide ? 56 : 36));
    if (!type || !link || !offset || !size || !entry) return std::nullopt;
    if (*type != 8 /* SHT_NOBITS */ && (*offset > f.bytes.size() || f.bytes.size() - *offset < *size)) return std::nullopt;
    return Section{*type, *link, *offset, *size, *entry};
}

bool exported(const File& f, uint64_t symbol) {
    const auto info = f.at<uint8_t>(symbol + (f.wide ? 4 : 12)), other = f.at<uint8_t>(symbol + (f.wide ? 5 : 13));
    const auto where = f.at<uint16_t>(symbol + (f.wide ? 6 : 14));
    if (!info || !other || !where || *where == kUndefined || *where == kAbsolute) return false;
    const unsigned binding = *info >> 4, visibility = *other & 3;
    return binding != kLocal && visibility != kInternal && visibility != kHidden;
}

}  // namespace

Exports read_exports(const std::filesystem::path& path) {
    static const std::set<std::string> linkers = {"_init", "_fini", "_edata", "_end", "__bss_start"};
    Exports out;
    const auto unknown = [&](const char* why) {
        out.why = why;
        return out;
    };
    std::ifstream in(path, std::ios::binary);
    if (!in) return unknown("the file cannot be read");
    File f;
    f.bytes.assign(std::istreambuf_iterator<char>(in), {});
    if (f.bytes.size() < 52 || f.bytes.compare(0, 4, "\x7f" "ELF") != 0) return unknown("the file is no ELF, and other formats are not read");
    if (f.bytes[5] != (std::endian::native == std::endian::little ? 1 : 2)) return unknown("the file has another byte order");
    f.wide = f.bytes[4] == 2;
    const auto table = f.word(f.wide ? 40 : 32);
    const auto entry = f.at<uint16_t>(f.wide ? 58 : 46), count = f.at<uint16_t>(f.wide ? 60 : 48);
    if (!table || !entry || !count || *table == 0 || *count == 0) return unknown("the file has no section headers");
    for (uint64_t n = 0; n < *count; n++) {
        const auto symbols = section(f, *table, *entry, n);
        if (!symbols || symbols->type != kDynamicSymbols || symbols->entry < (f.wide ? 24u : 16u)) continue;
        const auto names = section(f, *table, *entry, symbols->link);
        if (!names) return unknown("its symbols have no names");
        for (uint64_t s = symbols->offset; s + symbols->entry <= symbols->offset + symbols->size; s += symbols->entry) {
            const auto name = f.at<uint32_t>(s);
            if (!name || !exported(f, s)) continue;
            const auto text = f.text(names->offset + *name, names->offset + names->size);
            if (!text) return unknown("the name of a symbol lies outside its table");
            if (!linkers.count(*text)) out.names.push_back(*text);
        }
        std::sort(out.names.begin(), out.names.end());
        out.known = true;
        return out;
    }
    return unknown("the file has no dynamic symbols");
}

}  // namespace orrery::conformance
