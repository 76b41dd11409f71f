// Saving and loading a session's states. Little-endian: magic with the version, fingerprint of the model, batch, position, cache type, then each state
// that holds something: what it is, what it has seen, its pages. States that only other values of the controls have are saved and come back too.
#include <algorithm>
#include <cstdio>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <set>
#include <vector>

#include "engine/run/session.hpp"
#include "orrery/plugin.hpp"

namespace orrery {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kSeed = 1469598103934665603u, kPrime = 1099511628211u;  // FNV-1a
constexpr char kMagic[8] = {'O', 'R', 'R', 'S', 'T', 'A', 'T', '3'};
constexpr char kUndescribed[8] = {'O', 'R', 'R', 'S', 'T', 'A', 'T', '2'};  // states by name alone: what they are, the model says
constexpr int64_t kMostStates = 1 << 20, kMostElements = int64_t{1} << 40;

struct Close {
    void operator()(std::FILE* f) const { std::fclose(f); }
};
using File = std::unique_ptr<std::FILE, Close>;

class Writer {
  public:
    explicit Writer(const std::string& path) : path_(path), file_(std::fopen(path.c_str(), "wbe")) {
        if (!file_) throw Error(ORR_IO, path + ": cannot be written");
    }
    void bytes(const void* data, size_t n) {
        if (n && std::fwrite(data, 1, n, file_.get()) != n) throw Error(ORR_IO, path_ + ": writing " + std::to_string(n) + " bytes failed");
        for (size_t i = 0; i < n; i++) hash_ = (hash_ ^ static_cast<const unsigned char*>(data)[i]) * kPrime;
    }
    void number(int64_t v) { bytes(&v, sizeof v); }
    void text(const std::string& s) {
        number(static_cast<int64_t>(s.size()));
        bytes(s.data(), s.size());
    }
    void finish() {
        const uint64_t h = hash_;
        bytes(&h, sizeof h);
        if (std::fflush(file_.get()) != 0) throw Error(ORR_IO, path_ + ": writing failed");
    }

  private:
    std::string path_;
    File file_;
    uint64_t hash_ = kSeed;
};

class Reader {
  public:
    explicit Reader(const std::string& path) : path_(path), file_(std::fopen(path.c_str(), "rbe")) {
        if (!file_) throw Error(ORR_NOT_FOUND, path + ": cannot be read");
        std::error_code failed;
        size_ = fs::is_regular_file(path, failed) ? fs::file_size(path, failed) : UINTMAX_MAX;
        if (size_ == UINTMAX_MAX) throw Error(ORR_IO, path + ": is no file of a size that can be told");
    }
    // How many bytes come behind what has been read.
    uintmax_t left() const {
        const long at = std::ftell(file_.get());
        return at < 0 || static_cast<uintmax_t>(at) > size_ ? 0 : size_ - static_cast<uintmax_t>(at);
    }
    void bytes(void* data, size_t n) {
        if (n && std::fread(data, 1, n, file_.get()) != n) throw Error(ORR_CORRUPT, path_ + ": ends early");
        for (size_t i = 0; i < n; i++) hash_ = (hash_ ^ static_cast<const unsigned char*>(data)[i]) * kPrime;
    }
    int64_t number() {
        int64_t v = 0;
        bytes(&v, sizeof v);
        return v;
    }
    std::string text() {
        const int64_t n = number();
        if (n < 0 || n > 4096) throw Error(ORR_CORRUPT, path_ + ": a name of " + std::to_string(n) + " bytes");
        std::string s(static_cast<size_t>(n), '\0');
        bytes(s.data(), s.size());
        return s;
    }
    void same(int64_t want, const char* what) {
        const int64_t have = number();
        if (have != want) throw Error(ORR_INVALID_ARGUMENT, path_ + ": " + what + " is " + std::to_string(have) + ", this session's is " + std::to_string(want));
    }
    void finish() {
        const uint64_t want = hash_;
        uint64_t have = 0;
        bytes(&have, sizeof have);
        char extra;
        if (have != want || std::fread(&extra, 1, 1, file_.get()) != 0) throw Error(ORR_CORRUPT, path_ + ": goes on behind its last state");
    }
    // Reads the file once to its end: what is damaged must not replace what a session holds.
    void verify() {
        uint64_t hash = kSeed;
        std::vector<unsigned char> block(1 << 16);
        std::vector<unsigned char> tail;  // the last bytes seen so far: perhaps the checksum
        while (const size_t n = std::fread(block.data(), 1, block.size(), file_.get())) {
            tail.insert(tail.end(), block.data(), block.data() + n);
            const size_t whole = tail.size() > sizeof hash ? tail.size() - sizeof hash : 0;
            for (size_t i = 0; i < whole; i++) hash = (hash ^ tail[i]) * kPrime;
            tail.erase(tail.begin(), tail.begin() + static_cast<std::ptrdiff_t>(whole));
        }
        if (std::ferror(file_.get())) throw Error(ORR_IO, path_ + ": reading failed");
        if (tail.size() < sizeof hash || std::memcmp(tail.data(), &hash, sizeof hash) != 0)
            throw Error(ORR_CORRUPT, path_ + ": its checksum does not fit its contents: it is damaged or ends early");
        std::rewind(file_.get());
    }

  private:
    std::string path_;
    File file_;
    uintmax_t size_;
    uint64_t hash_ = kSeed;
};

// All states that a model declares, with these controls and with all neutral, so that a session can load before its first run.
std::map<std::string, StateDef> all_states(Model& model, const Variant& variant) {
    std::map<std::string, StateDef> out;
    Variant plain;
    plain.make_key();
    for (const Variant* v : {&variant, const_cast<const Variant*>(&plain)})
        for (const char* const* e = model.info().entries; e && *e; e++)
            if (const auto program = model.program(*e, *v))
                for (const StateDef& s : program->states) out.emplace(s.name, s);
    return out;
}

bool holds_something(const SessionState& s, int64_t position) {
    return s.length() > 0 || s.seen() > 0 || (s.def().kind == ORR_STATE_RECURRENT && position == 0);
}

// Of a page [heads, tokens, width] what lies behind its first `used` tokens, which no run has written, as zeros: memory's remains are nobody's business.
void clear_unused(std::vector<char>& page, const SessionState& s, int64_t used) {
    const size_t bytes = SessionState::page_bytes_for(s.def(), s.type());
    std::fill(page.begin() + static_cast<std::ptrdiff_t>(bytes), page.end(), '\0');
    if (used >= kPageTokens || s.def().dims.size() != 2) return;
    const size_t rows = static_cast<size_t>(s.def().dims[0]) * kPageTokens, width = bytes / rows;
    for (size_t row = 0; row < rows; row++)
        if (static_cast<int64_t>(row % kPageTokens) >= used) std::memset(page.data() + row * width, 0, width);
}

void write_def(Writer& w, const StateDef& def, Registry& registry) {
    w.number(def.kind);
    w.text(def.type ? registry.type(def.type).id : "");
    w.number(def.window);
    w.number(static_cast<int64_t>(def.dims.size()));
    for (const int64_t d : def.dims) w.number(d);
}

StateDef read_def(Reader& r, const std::string& path, const std::string& name, Registry& registry) {
    StateDef def;
    def.name = name;
    const int64_t kind = r.number();
    const std::string type = r.text();
    def.window = r.number();
    const int64_t rank = r.number();
    if (kind < ORR_STATE_APPEND || kind > ORR_STATE_FROZEN || def.window < 0 || rank < 0 || rank > ORR_MAX_RANK)
        throw Error(ORR_CORRUPT, path + ": state " + name + " is of kind " + std::to_string(kind) + ", window " + std::to_string(def.window) + ", rank " + std::to_string(rank));
    def.kind = static_cast<uint32_t>(kind);
    if (!type.empty()) def.type = registry.find_type(type).number;
    for (int64_t n = 0, elements = 1; n < rank; n++) {
        const int64_t d = r.number();
        if (d < 1 || d > kMostElements / elements) throw Error(ORR_CORRUPT, path + ": state " + name + " has an axis of " + std::to_string(d));
        elements *= d;
        def.dims.push_back(d);
    }
    return def;
}

}  // namespace

void Session::save(const std::string& path) {
    check_idle();
    // Written beside what is there and put in its place when whole; links are followed, and what is no file (a device) is written to.
    std::error_code failed;
    const fs::file_status there = fs::status(path, failed);
    const std::string target = fs::exists(there) && fs::is_symlink(fs::symlink_status(path, failed)) ? fs::canonical(path, failed).string() : path;
    const bool beside = !fs::exists(there) || fs::is_regular_file(there);
    const std::string partial = beside ? target + ".partial" : target;
    try {
        Writer w(partial);
        w.bytes(kMagic, sizeof kMagic);
        w.number(static_cast<int64_t>(model_->fingerprint()));
        w.number(options_.batch);
        w.number(position_);
        w.text(model_->engine().registry().type(options_.cache_type).id);
        w.number(std::count_if(states_.begin(), states_.end(), [&](const auto& s) { return holds_something(s.second, position_); }));
        std::vector<char> bytes;
        for (const auto& [name, s] : states_) {
            if (!holds_something(s, position_)) continue;
            bytes.resize(s.page_bytes());
            const auto page = [&](const PageRef& p, int64_t used) {
                s.pool().read(p, bytes.data());
                clear_unused(bytes, s, used);
                w.bytes(bytes.data(), bytes.size());
            };
            w.text(name);
            write_def(w, s.def(), model_->engine().registry());
            w.number(static_cast<int64_t>(s.page_bytes()));
            w.number(s.seen());
            for (const auto& row : s.rows()) {
                if (s.def().kind == ORR_STATE_RECURRENT) {
                    page(row.current, kPageTokens);
                    continue;
                }
                w.number(row.length);
                w.number(row.first);
                for (int64_t p = row.first / kPageTokens; p * kPageTokens < row.length; p++) page(row.pages[static_cast<size_t>(p)], row.length - p * kPageTokens);
            }
        }
        w.finish();
    } catch (...) {
        if (beside) std::remove(partial.c_str());
        throw;
    }
    if (beside && std::rename(partial.c_str(), target.c_str()) != 0) {
        std::remove(partial.c_str());
        throw Error(ORR_IO, path + ": cannot be put in place");
    }
}

void Session::load(const std::string& path) {
    check_idle();
    Reader r(path);
    r.verify();
    char magic[sizeof kMagic];
    r.bytes(magic, sizeof magic);
    const bool described = std::memcmp(magic, kMagic, sizeof magic) == 0;
    if (!described && std::memcmp(magic, kUndescribed, sizeof magic) != 0) throw Error(ORR_CORRUPT, path + ": is not a saved session of this version");
    r.same(static_cast<int64_t>(model_->fingerprint()), "the model's fingerprint");
    r.same(options_.batch, "the batch");
    const int64_t position = r.number();
    if (position < 0 || position > options_.context) throw Error(ORR_LIMIT, path + ": holds " + std::to_string(position) + " tokens, this session's context " + std::to_string(options_.context));
    Registry& registry = model_->engine().registry();
    const std::string type = r.text(), own = registry.type(options_.cache_type).id;
    if (type != own) throw Error(ORR_INVALID_ARGUMENT, path + ": the cache type is " + type + ", this session's is " + own);
    const int64_t count = r.number();
    const auto declared = all_states(*model_, variant_);
    if (count < 0 || count > (described ? kMostStates : static_cast<int64_t>(declared.size())))
        throw Error(ORR_CORRUPT, path + ": holds " + std::to_string(count) + " states, the model declares " + std::to_string(declared.size()));
    std::set<std::string> loaded;
    try {
        reset();
        for (int64_t i = 0; i < count; i++) {
            const std::string name = r.text();
            if (!loaded.insert(name).second) throw Error(ORR_CORRUPT, path + ": holds state " + name + " twice");
            const auto known = declared.find(name);
            if (!described && known == declared.end()) throw Error(ORR_CORRUPT, path + ": the model has no state " + name);
            // Of a state that only other controls have, the file says what it is; what needs it checks that.
            const StateDef def = described ? read_def(r, path, name, registry) : known->second;
            if (known != declared.end() && !same_state(def, known->second))
                throw Error(ORR_CORRUPT, path + ": state " + name + " is " + state_text(def) + ", the model's is " + state_text(known->second));
            if (def.kind == ORR_STATE_RECURRENT && !def.type) throw Error(ORR_CORRUPT, path + ": recurrent state " + name + " has no element type");
            const size_t page_bytes = PagePool::whole_bytes(SessionState::page_bytes_for(def, state_type(def)));
            r.same(static_cast<int64_t>(page_bytes), ("the page size of " + name).c_str());
            if (def.kind == ORR_STATE_RECURRENT && r.left() / page_bytes < static_cast<uintmax_t>(options_.batch))
                throw Error(ORR_CORRUPT, path + ": state " + name + " takes " + std::to_string(options_.batch) + " pages of " + std::to_string(page_bytes) + " bytes, " + std::to_string(r.left()) + " are left");
            const auto on_host_too = [&](const auto& fn) -> decltype(fn()) {  // what the device has no room for
                try {
                    return fn();
                } catch (const NoDeviceMemory&) {
                    keep_on_host(name);
                    return fn();
                }
            };
            SessionState& s = on_host_too([&]() -> SessionState& { return state(def, options_.batch); });
            const int64_t seen = r.number();
            // A frozen one stays as it was when the session goes back.
            if (seen < 0 || (seen > position && s.def().kind != ORR_STATE_FROZEN))
                throw Error(ORR_CORRUPT, path + ": state " + name + " has seen " + std::to_string(seen) + " tokens at position " + std::to_string(position));
            int64_t length = 0, first = 0;
            std::vector<char> bytes(s.page_bytes());
            const auto page = [&](const PageRef& p) {
                r.bytes(bytes.data(), bytes.size());
                s.pool().write(p, bytes.data());
            };
            for (size_t row = 0; row < s.rows().size(); row++) {
                if (s.def().kind == ORR_STATE_RECURRENT) {
                    page(s.rows()[row].current);
                    continue;
                }
                const int64_t l = r.number(), f = r.number();
                const int64_t most = s.def().kind == ORR_STATE_FROZEN ? (int64_t{1} << 24) : position;
                if (l < 0 || l > most || f < 0 || f > l || f % kPageTokens || (row > 0 && (l != length || f != first)))
                    throw Error(ORR_CORRUPT, path + ": state " + name + " holds tokens " + std::to_string(f) + " to " + std::to_string(l) + " at position " + std::to_string(position));
                if (row == 0) on_host_too([&] { s.allocate(length = l, first = f); });
                for (int64_t p = f / kPageTokens; p * kPageTokens < l; p++) page(s.rows()[row].pages[static_cast<size_t>(p)]);
            }
            s.set_seen(seen);
        }
        r.finish();
    } catch (...) {
        reset();
        throw;
    }
    position_ = position;
    changes_++;
}

}  // namespace orrery
