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

// Of a weight that several modules share: the nodes that are one module's.
enum class Readers { all, products, others };

// What an adapter does to one weight of the model.
struct AdaptedWeight {
    std::string module;  // as the adapter names it
    Readers readers = Readers::all;
    int64_t interleaved_heads = 0;
    double factor = 1;
    std::vector<std::shared_ptr<Constant>> parts;  // nullptr: it has none
    int64_t first_row = 0, rows = 0;
};

// What stands in the place of a tensor of the model.
struct ReplacedTensor {
    std::string module;
    Readers readers = Readers::all;
    std::shared_ptr<Constant> constant;
};

struct AdapterTensors {
    const orr_adapter_kind* kind = nullptr;
    std::string file;                             // for messages
    std::string mark;                             // in the keys of all that is made of it
    // By the checkpoint's tensor name; of a stack of tensors that of the first.
    std::map<std::string, std::vector<AdaptedWeight>> weights;
    std::map<std::string, std::vector<ReplacedTensor>> replaced;
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
// one's scale. used, where given: tensors that were found, each with the module (use_of). Throws Error naming file, module and what does not fit.
std::string use_of(const std::string& tensor, const std::string& module);
Program weave_adapters(const orr_host* host, Registry& registry, Weights& weights, const Program& source, const AdapterSet& set, std::set<std::string>* used = nullptr);

}  // namespace orrery
