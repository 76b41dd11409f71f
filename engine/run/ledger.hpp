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
};

class Ledger {
  public:
    // Finds or makes places for what is in a plan: paths that end in ".mixer.output", ".ffn.output" and ".output" behind "layers.N".
    void add_parts(const Program& program, PlanWork& work);
    void add_plain_parts(const Program& program, PlanWork& work);
    // A run has ended; does not allocate. tokens: that append states hold now.
    void record(const PlanWork& work, const Plan& plan, int64_t tokens, uint64_t time_ns) noexcept;
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
    std::vector<Part> parts_;
    std::map<std::pair<std::string, std::string>, size_t> places_;
    std::vector<uint64_t> depths_;  // runs by the number of layers that ran
    Sum last_, total_;
};

}  // namespace orrery
