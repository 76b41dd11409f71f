// What a session's runs took: parts of layers that ran and that were left out, FLOPs, weight bytes and time, beside the model with all controls
// neutral.
#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/plan/work_count.hpp"

namespace orrery {

// "exit.depth", "decoder.exit.depth": f32 [B], how many layers of the stack ran for each sequence (plugins/common/model/early_exit.h).
bool tells_depth(std::string_view path);

// Of one plan.
struct PlanWork {
    struct Part {
        size_t place;     // in the ledger
        uint32_t region;  // that makes it
    };
    std::vector<Work> regions;
    Work plain;                 // of the plain model, all of it
    bool has_plain = false;
    std::vector<Part> parts;
    std::vector<size_t> plain_parts;  // places
    size_t layers = 0;                // at most, of one run
    struct Stack {
        size_t place;             // in the ledger
        const orr_tensor* depth;  // of each sequence
    };
    std::vector<Stack> stacks;  // that sequences leave by themselves
};

class Ledger {
  public:
    // Finds or makes places for what is in a plan: paths that end in ".mixer.output", ".ffn.output" and ".output" behind "layers.N".
    void add_parts(const Program& program, PlanWork& work);
    void add_plain_parts(const Program& program, PlanWork& work);
    void add_stacks(const Plan& plan, PlanWork& work);
    // Room to count runs of the plan in.
    void make_room(const PlanWork& work);
    // A run has ended; does not allocate. tokens: that append states hold now; sequences: of this session; -1: all of the run.
    void record(const PlanWork& work, const Plan& plan, int64_t tokens, int64_t sequences, uint64_t time_ns) noexcept;
    // The same of a session that was stepped with the one that recorded it: how deep its sequences went, the rows from first_row on.
    void record_depths(const PlanWork& work, const Ledger& first, size_t first_row, int64_t sequences) noexcept;
    void clear();
    nlohmann::ordered_json describe() const;

  private:
    struct Part {
        std::string layer, name;  // "layers.3", "mixer"
        size_t of_layer;          // place of the layer's own part
        uint64_t ran = 0, plain = 0;
        bool now = false, plain_now = false;  // in the run at hand
    };
    struct Sum {
        uint64_t runs = 0, time_ns = 0, tokens = 0;
        double flops = 0, plain_flops = 0, weight_bytes = 0, plain_weight_bytes = 0;
        uint64_t ran[3] = {}, plain[3] = {};  // layers, mixers, ffns
        bool has_plain = true;
    };
    size_t place(const std::string& layer, const std::string& name);
    static size_t kind(const Part& p) { return p.name.empty() ? 0 : p.name == "mixer" ? 1 : 2; }
    static nlohmann::ordered_json tell(const Sum& sum);
    struct Stack {
        std::string name;             // "layers", "decoder.layers"
        std::vector<uint64_t> depth;  // of the last run, by sequence
        size_t count = 0;             // of them; 0: the last run did not have it
    };
    std::vector<Stack> stacks_;
    std::vector<Part> parts_;
    std::map<std::pair<std::string, std::string>, size_t> places_;
    std::vector<uint64_t> depths_;  // sequences of runs by the number of layers that ran for them
    Sum last_, total_;
};

}  // namespace orrery
