// Saving and loading a session's states. Little-endian: magic, version, fingerprint of the model, cache type, batch,
// position, then each state with its pages.
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "engine/run/session.hpp"
#include "orrery/plugin.hpp"

namespace orrery {
namespace {

constexpr uint64_t kSeed = 1469598103934665603u, kPrime = 1099511628211u;  // FNV-1a
constexpr char kMagic[8] = {'O', 'R', 'R', 'S', 'T', 'A', 'T', '2'};

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
    uint64_t hash_ = kSeed;
};

// All declared states of a model, so that a session can load before its first run.
std::map<std::string, StateDef> all_states(Model& model, const Variant& variant) {
    std::map<std::string, StateDef> out;
    for (const char* const* e = model.info().entries; e && *e; e++)
        if (const auto program = model.program(*e, variant))
            for (const StateDef& s : program->states) out.emplace(s.name, s);
    return out;
}

}  // namespace

void Session::save(const std::string& path) {
    check_idle();
    const std::string partial = path + ".partial";
    try {
        Writer w(partial);
        w.bytes(kMagic, sizeof kMagic);
        w.number(static_cast<int64_t>(model_->fingerprint()));
        w.number(options_.batch);
        w.number(position_);
        w.text(model_->engine().registry().type(options_.cache_type).id);
        w.number(static_cast<int64_t>(states_.size()));
        std::vector<char> bytes;
        for (const auto& [name, s] : states_) {
            bytes.resize(s.page_bytes());
            const auto page = [&](const PageRef& p) {
                s.pool().read(p, bytes.data());
                w.bytes(bytes.data(), bytes.size());
            };
            w.text(name);
            w.number(static_cast<int64_t>(s.page_bytes()));
            w.number(s.seen());
            for (const auto& row : s.rows()) {
                if (s.def().kind == ORR_STATE_RECURRENT) {
                    page(row.current);
                    continue;
                }
                w.number(row.length);
                w.number(row.first);
                for (int64_t p = row.first / kPageTokens; p * kPageTokens < row.length; p++) page(row.pages[static_cast<size_t>(p)]);
            }
        }
        w.finish();
    } catch (...) {
        std::remove(partial.c_str());
        throw;
    }
    if (std::rename(partial.c_str(), path.c_str()) != 0) {
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
    if (std::memcmp(magic, kMagic, sizeof magic) != 0) throw Error(ORR_CORRUPT, path + ": is not a saved session of this version");
    r.same(static_cast<int64_t>(model_->fingerprint()), "the model's fingerprint");
    r.same(options_.batch, "the batch");
    const int64_t position = r.number();
    if (position < 0 || position > options_.context) throw Error(ORR_LIMIT, path + ": holds " + std::to_string(position) + " tokens, this session's context " + std::to_string(options_.context));
    const std::string type = r.text(), own = model_->engine().registry().type(options_.cache_type).id;
    if (type != own) throw Error(ORR_INVALID_ARGUMENT, path + ": the cache type is " + type + ", this session's is " + own);
    const int64_t count = r.number();
    const auto declared = all_states(*model_, variant_);
    if (count < 0 || count > static_cast<int64_t>(declared.size())) throw Error(ORR_CORRUPT, path + ": holds " + std::to_string(count) + " states, the model declares " + std::to_string(declared.size()));
    try {
        reset();
        for (int64_t i = 0; i < count; i++) {
            const std::string name = r.text();
            const auto def = declared.find(name);
            if (def == declared.end()) throw Error(ORR_CORRUPT, path + ": the model has no state " + name);
            SessionState& s = state(def->second, options_.batch);
            r.same(static_cast<int64_t>(s.page_bytes()), ("the page size of " + name).c_str());
            const int64_t seen = r.number();
            if (seen < 0 || seen > position) throw Error(ORR_CORRUPT, path + ": state " + name + " has seen " + std::to_string(seen) + " tokens at position " + std::to_string(position));
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
                if (row == 0) s.allocate(length = l, first = f);
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
