// The engine's side of the tables, as small as it can be: host, attributes, dimensions, threads.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "orrery/plugin.h"

namespace orrery::conformance {

// An exception came out of a plugin's function.
class Escaped : public std::runtime_error {
    using std::runtime_error::runtime_error;
};
// Calls a plugin's function; an exception out of it becomes an Escaped that names the function.
template <class Call>
auto contained(const char* function, Call&& call) {
    try {
        return call();
    } catch (const Escaped&) {
        throw;
    } catch (const std::exception& e) {
        throw Escaped(std::string(function) + " let an exception out: " + e.what());
    } catch (...) {
        throw Escaped(std::string(function) + " let an exception out that is no std::exception");
    }
}

// Rounding, flushing of denormals, traps: of this thread. A plugin's function leaves them as they are.
uint64_t float_control();
void set_float_control(uint64_t control);

// The host table. Allocations are counted; one of them can be made to fail.
struct Host {
    Host();
    orr_host table;
    std::atomic<int64_t> requests{0};     // of memory of any kind since arm()
    std::atomic<int64_t> fail_at{-1};     // this request, counted from 0, is refused
    std::atomic<int64_t> outstanding{0};  // allocations not yet released
    // Counts from 0 again; request number n is refused (-1: none).
    void arm(int64_t n);
    // Whether the next request of memory is refused.
    bool refuses();
    void remember(const char* text);
    std::string take_error();

  private:
    std::mutex mutex_;
    std::string error_;
};

// Attributes of one node, defaults filled in.
class AttrSet {
  public:
    // Throws for undeclared names, missing ones and values of the wrong kind.
    AttrSet(const orr_operator& op, const nlohmann::json& values);
    const orr_attrs* table() const { return &state_.base; }

  private:
    struct Value {
        uint32_t kind = 0;
        int64_t integer = 0;
        double number = 0;
        std::string text;
        std::vector<int64_t> ints;
        std::vector<double> floats;
    };
    struct State {
        orr_attrs base;
        const AttrSet* self;
    } state_;
    AttrSet(const AttrSet&) = delete;
    static const Value* find(const orr_attrs* a, const char* name);
    void set(const orr_attr_desc& desc, const nlohmann::json& v);
    std::map<std::string, Value, std::less<>> values_;
};

// Expressions over symbols. Every symbol has a bound value too, so that results can be evaluated.
class Dims {
  public:
    Dims();
    const orr_dims* table() const { return &state_.base; }
    orr_dim symbol(int64_t bound);
    int64_t evaluate(orr_dim d) const;

  private:
    struct Node {
        char op;  // 's' symbol and its value, 'c' negative constant, + - * /
        orr_dim a, b;
    };
    struct State {
        orr_dims base;
        Dims* self;
    } state_;
    Dims(const Dims&) = delete;
    static Dims& of(const orr_dims* d);
    orr_dim make(char op, orr_dim a, orr_dim b);
    static int64_t apply(char op, int64_t a, int64_t b);
    bool constant(orr_dim d) const;
    int32_t equal(orr_dim a, orr_dim b) const;
    std::deque<Node> nodes_;
};

// A real thread pool.
class Pool {
  public:
    Pool();
    ~Pool();
    // Chunks are handed out in order to `threads` threads, the caller among them. Any thread.
    void run(uint32_t threads, int64_t chunks, orr_chunk_fn fn, void* arg);
    static constexpr uint32_t kMost = 4;
    // Nested calls seen so far: the plugin API forbids them.
    int64_t nested() const { return nested_; }
    // Chunks after which the float control was another one; it is set back.
    int64_t float_changes() const { return float_changes_; }

  private:
    void work(uint32_t thread);
    void chunks_of(uint32_t thread);
    void one_chunk(orr_chunk_fn fn, void* arg, int64_t chunk, uint32_t thread);
    std::vector<std::thread> threads_;
    std::mutex turn_;  // one call of run at a time
    std::mutex mutex_;
    std::condition_variable start_, done_;
    uint64_t round_ = 0;
    uint32_t wanted_ = 0, running_ = 0;
    bool stop_ = false;
    std::atomic<int64_t> next_{0}, nested_{0}, float_changes_{0};
    int64_t chunks_ = 0;
    std::string escaped_;  // of an exception in a chunk
    orr_chunk_fn fn_ = nullptr;
    void* arg_ = nullptr;
};

// Instruction sets of this machine, and their names on the command line.
std::vector<uint32_t> machine_isas();
const char* isa_name(uint32_t isa);
const char* numerics_name(uint32_t numerics);

}  // namespace orrery::conformance
