// Adapters of a session: what they are for, and a program with them woven in.
#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/graph/graph.hpp"
#include "orrery/ext/adapters.h"

namespace orrery {

// What an adapter does to one weight of the model.
struct AdaptedWeight {
    std::string module;  // as the adapter names it
    int64_t interleaved_heads = 0;
    double factor = 1;
    std::vector<std::shared_ptr<Constant>> parts;
};

struct AdapterTensors {
    const orr_adapter_kind* kind = nullptr;
    std::string file;                             // for messages
    std::string mark;                             // in the keys of all that is made of it
    std::map<std::string, AdaptedWeight> weights;  // by the checkpoint's tensor name
};

// Those that take part in a session, with their scales. Immutable.
class AdapterSet {
  public:
    // Leaves out those with scale 0. Throws Error for a scale that is no number.
    AdapterSet(std::vector<std::shared_ptr<const AdapterTensors>> adapters, const std::vector<double>& scales);

    bool empty() const { return adapters_.empty(); }
    const std::vector<std::shared_ptr<const AdapterTensors>>& adapters() const { return adapters_; }
    float scale(size_t i) const { return scales_[i]; }
    // All that a program depends on: not the scales.
    const std::string& key() const { return key_; }
    bool operator==(const AdapterSet& other) const { return key_ == other.key_ && scales_ == other.scales_; }

  private:
    std::vector<std::shared_ptr<const AdapterTensors>> adapters_;
    std::vector<float> scales_;
    std::string key_;
};

// The program with these adapters at each node that reads a weight of theirs. An input of the engine's own (TapInput::Part::adapter) holds each
// one's scale. used, where given: the tensors that were found. Throws Error naming file, module and what does not fit.
Program weave_adapters(const orr_host* host, Registry& registry, Weights& weights, const Program& source, const AdapterSet& set, std::set<std::string>* used = nullptr);

}  // namespace orrery
