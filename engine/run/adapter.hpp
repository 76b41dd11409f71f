// An adapter that was opened for a model: a folder as PEFT writes it.
#pragma once
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/plan/adapters.hpp"
#include "engine/run/model.hpp"

namespace orrery {

// Immutable; shared by sessions on many threads.
class Adapter {
  public:
    // Reads and checks all of it. Throws Error naming file, tensor and both shapes.
    Adapter(std::shared_ptr<Model> model, const orr_model_options& options);

    const Model& model() const { return *model_; }
    // Sessions hold these: once nobody does, all that was made of them is forgotten.
    const std::shared_ptr<const AdapterTensors>& tensors() const { return tensors_; }
    nlohmann::ordered_json describe() const;

  private:
    std::shared_ptr<Model> model_;
    std::string path_;
    std::shared_ptr<const AdapterTensors> tensors_;
};

}  // namespace orrery
