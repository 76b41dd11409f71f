// A folder with one of the libraries of faulty_plugins/ and a manifest for it, which says what a faultless one would.
#pragma once
#include "support.hpp"

namespace engine_tests {

class FaultyPlugin {
  public:
    explicit FaultyPlugin(const std::string& fault);
    std::string library_name() const { return fault_ + ".so"; }
    Json manifest() const;
    void write(const Json& manifest, const std::string& name) const;
    Engine engine(const ChangeEngine& change = {}) const;  // with this folder behind that of this build
    Model open(orr_engine* engine, const char* device = nullptr) const;
    // y of x = start · (1, 2 … 64), as [16, 4].
    static Tensor twice(const Session& session, float start);

  private:
    std::string fault_, folder_;
    mutable Checkpoint checkpoint_;
};

}  // namespace engine_tests
