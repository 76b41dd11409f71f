// An open checkpoint with its architecture: immutable, shared by sessions on many threads.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "engine/plan/adapters.hpp"
#include "engine/plan/prepare_program.hpp"
#include "engine/plan/taps.hpp"
#include "engine/run/engine.hpp"
#include "engine/weights/model_files.hpp"
#include "engine/weights/side_files.hpp"
#include "engine/weights/device_weights.hpp"
#include "engine/weights/weights.hpp"

namespace orrery {

// Values of controls that are not neutral: name -> JSON text.
using Controls = std::map<std::string, std::string>;

// What a session makes of an entry.
struct Variant {
    std::shared_ptr<const Controls> controls;  // nullptr: all neutral
    std::shared_ptr<const AdapterSet> adapters;  // nullptr: none
    std::shared_ptr<const TapSet> taps;        // nullptr: none
    std::string active;                        // of the taps
    std::string key;                           // equal keys: equal programs

    void make_key();
    Variant without_taps() const;
    Variant without_adapters() const;  // and without taps
};

enum class Purpose {
    run,
    tokenizer,  // a folder with nothing but a tokenizer.json is enough
    measure,    // memory of its own, in which weights only count (estimate_need)
};

class Model : public std::enable_shared_from_this<Model> {
  public:
    Model(std::shared_ptr<Engine> engine, const orr_model_options& options, Purpose purpose);
    ~Model();
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

    Engine& engine() { return *engine_; }
    const std::shared_ptr<Engine>& engine_ptr() const { return engine_; }
    const std::shared_ptr<Memory>& memory() const { return memory_; }
    Weights& weights() { return *weights_; }
    const orr_model_info& info() const { return info_; }
    const orr_files* files() const { return files_->table(); }
    const std::string& files_path() const { return files_->path(); }
    const orr_checkpoint* checkpoint() const { return checkpoint_; }
    const std::string& device_name() const { return device_name_; }
    // nullptr: the processor. Another one after the device was lost.
    std::shared_ptr<Device> device() { return engine_->devices().get(device_name_); }
    DeviceWeights& device_weights(const std::shared_ptr<Device>& device);
    // Equal for two opens of the same checkpoint: architecture, tensor names, shapes and types.
    uint64_t fingerprint() const { return fingerprint_; }

    std::string entry_name(const char* entry) const;  // NULL: the default; throws when it does not exist
    std::shared_ptr<const Program> program(const std::string& entry, const Variant& variant = {});
    // Rewritten form of an entry for these wanted values; cached.
    std::shared_ptr<const PreparedProgram> prepared(const std::string& entry, const Variant& variant, const std::vector<std::string>& wanted, bool rewrites, uint32_t numerics);
    // The controls with one of them changed; JSON text NULL: neutral. Throws Error where the model does not know the control or cannot be built so.
    std::shared_ptr<const Controls> with_control(const std::shared_ptr<const Controls>& controls, const std::string& name, const char* value_json);
    // Throws Error(ORR_NOT_FOUND) where a tap's path fits no value of any entry.
    void check_taps(const Variant& variant);
    // Lets go of all that was made of an adapter; see AdapterTensors::mark.
    void forget(const std::string& mark);

    // Throws Error(ORR_NOT_FOUND) when the checkpoint has none.
    const orr_tokenizer& tokenizer();
    const orr_tokenizer* tokenizer_or_null();
    nlohmann::ordered_json describe(const std::string& what, const char* entry);

  private:
    std::shared_ptr<const Program> build(const std::string& entry, const Controls* controls);
    void open_architecture(bool measure);
    void check_extra_tensors();
    orr_model_source source() const;
    struct Source {
        orr_model_source base;
        const Model* self;
    };
    std::shared_ptr<Engine> engine_;
    std::shared_ptr<Memory> memory_;
    std::string device_name_;
    std::string device_kind_;  // as kernels name it
    std::unique_ptr<DeviceWeights> device_weights_;
    std::unique_ptr<ModelFiles> files_;
    orr_checkpoint* checkpoint_ = nullptr;
    const orr_model_arch* arch_ = nullptr;
    void* config_ = nullptr;
    orr_model_info info_{};
    std::unique_ptr<Weights> weights_;
    std::unique_ptr<SideFiles> side_files_;
    Source source_{};
    uint64_t fingerprint_ = 0;
    std::recursive_mutex mutex_;
    std::map<std::string, std::shared_ptr<const Program>> programs_;
    std::map<std::string, std::shared_ptr<const PreparedProgram>> prepared_;
    orr_tokenizer* tokenizer_ = nullptr;
    bool tokenizer_tried_ = false;
    std::string tokenizer_problem_;
    orr_status tokenizer_status_ = ORR_OK;
};

}  // namespace orrery
