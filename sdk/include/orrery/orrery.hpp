// C++ wrapper of the host API (orrery.h): handles that release themselves, failures as exceptions, generation with a
// lambda. Header-only, C++20; everything goes through the C functions, so it adds nothing to the ABI.
//
//   orrery::host::Engine engine;
//   orrery::host::Model model = engine.open("gemma.gguf");
//   orrery::host::Task task = model.task("text_generation");
//   task.generate(R"({"prompt": "Once upon a time"})", [](std::string_view piece) { return std::cout << piece << std::flush, true; });
//
// Threads are as orrery.h tells of each function. Objects may be released in any order.
#ifndef ORRERY_ORRERY_HPP
#define ORRERY_ORRERY_HPP

#include <cstring>
#include <exception>
#include <functional>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "orrery/orrery.h"

namespace orrery::host {

// A call that failed: its status, and the text that the engine gave for it.
class Error : public std::runtime_error {
  public:
    Error(orr_status status, const std::string& text) : std::runtime_error(text.empty() ? orr_status_name(status) : text), status_(status) {}
    orr_status status() const { return status_; }

  private:
    orr_status status_;
};

inline void check(orr_status status) {
    if (status != ORR_OK) throw Error(status, orr_error_text());
}

// Owns one handle of type T; Release is its release function.
template <class T, void (*Release)(T*)>
class Handle {
  public:
    Handle() = default;
    explicit Handle(T* raw) : raw_(raw) {}
    Handle(Handle&& o) noexcept : raw_(std::exchange(o.raw_, nullptr)) {}
    Handle& operator=(Handle&& o) noexcept {
        if (this != &o) {
            Release(raw_);
            raw_ = std::exchange(o.raw_, nullptr);
        }
        return *this;
    }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    ~Handle() { Release(raw_); }
    T* raw() const { return raw_; }
    explicit operator bool() const { return raw_ != nullptr; }

  private:
    T* raw_ = nullptr;
};

// The text's bytes; releases it.
inline std::string take(orr_text* text) {
    const Handle<orr_text, orr_text_release> owner(text);
    return text ? std::string(orr_text_data(text), orr_text_size(text)) : std::string();
}

// Bytes of one element of a plain type, 0 for any other number.
inline uint64_t type_bytes(uint32_t type) {
    switch (type) {
        case ORR_TYPE_I8:
        case ORR_TYPE_U8:
        case ORR_TYPE_BOOL:
            return 1;
        case ORR_TYPE_F16:
        case ORR_TYPE_BF16:
        case ORR_TYPE_I16:
        case ORR_TYPE_U16:
            return 2;
        case ORR_TYPE_F32:
        case ORR_TYPE_I32:
        case ORR_TYPE_U32:
            return 4;
        case ORR_TYPE_F64:
        case ORR_TYPE_I64:
        case ORR_TYPE_U64:
            return 8;
        default:
            return 0;
    }
}

// A named tensor. Owns its bytes when made with own(), borrows them when made with view().
class Tensor {
  public:
    Tensor() = default;
    static Tensor own(std::string name, uint32_t type, std::vector<int64_t> shape, std::vector<unsigned char> bytes) {
        Tensor t(std::move(name), type, std::move(shape));
        t.bytes_ = std::move(bytes);
        t.size_ = t.bytes_.size();
        return t;
    }
    // data must stay while the tensor is used.
    static Tensor view(std::string name, uint32_t type, std::vector<int64_t> shape, const void* data, uint64_t size_bytes) {
        Tensor t(std::move(name), type, std::move(shape));
        t.borrowed_ = data;
        t.size_ = size_bytes;
        return t;
    }
    static Tensor ids(std::string name, const std::vector<int32_t>& ids) {
        return view(std::move(name), ORR_TYPE_I32, {1, static_cast<int64_t>(ids.size())}, ids.data(), ids.size() * sizeof(int32_t));
    }

    const std::string& name() const { return name_; }
    uint32_t type() const { return type_; }
    const std::vector<int64_t>& shape() const { return shape_; }
    const void* data() const { return borrowed_ ? borrowed_ : bytes_.data(); }
    uint64_t size_bytes() const { return size_; }
    int64_t elements() const {
        int64_t n = 1;
        for (const int64_t d : shape_) n *= d;
        return n;
    }
    // Valid while this tensor stands unchanged.
    orr_named_tensor raw() const {
        orr_named_tensor t{};
        t.header = ORR_HEADER(orr_named_tensor);
        t.name = name_.c_str();
        t.type = type_;
        t.rank = static_cast<int32_t>(shape_.size());
        for (size_t i = 0; i < shape_.size(); i++) t.shape[i] = shape_[i];
        t.data = data();
        t.size_bytes = size_;
        return t;
    }

  private:
    Tensor(std::string name, uint32_t type, std::vector<int64_t> shape) : name_(std::move(name)), type_(type), shape_(std::move(shape)) {
        if (shape_.size() > ORR_MAX_RANK)
            throw Error(ORR_INVALID_ARGUMENT, name_ + ": rank " + std::to_string(shape_.size()) + ", the most is " + std::to_string(ORR_MAX_RANK));
    }
    std::string name_;
    uint32_t type_ = ORR_TYPE_NONE;
    std::vector<int64_t> shape_;
    std::vector<unsigned char> bytes_;
    const void* borrowed_ = nullptr;
    uint64_t size_ = 0;
};

// Options with their header filled in.
template <class T>
T options() {
    T o{};
    o.header = ORR_HEADER(T);
    return o;
}

class Session {
  public:
    Session() = default;
    explicit Session(orr_session* raw) : handle_(raw) {}
    orr_session* raw() const { return handle_.raw(); }

    // Runs an entry (nullptr: the default); `outputs` empty: all that the entry declares.
    void run(const char* entry, const std::vector<Tensor>& inputs, const std::vector<std::string>& outputs = {}) {
        std::vector<orr_named_tensor> tensors;
        for (const Tensor& t : inputs) tensors.push_back(t.raw());
        std::vector<const orr_named_tensor*> pointers;
        for (const orr_named_tensor& t : tensors) pointers.push_back(&t);
        std::vector<const char*> names;
        for (const std::string& n : outputs) names.push_back(n.c_str());
        check(orr_session_run(raw(), entry, static_cast<uint32_t>(pointers.size()), pointers.data(), static_cast<uint32_t>(names.size()),
                              names.empty() ? nullptr : names.data()));
    }
    // Borrows the session's memory: valid until its next run.
    Tensor output(const std::string& name) const {
        orr_named_tensor t = options<orr_named_tensor>();
        check(orr_session_output(raw(), name.c_str(), &t));
        return Tensor::view(name, t.type, {t.shape, t.shape + t.rank}, t.data, t.size_bytes);
    }
    // Outputs of the last run, in order.
    std::vector<std::string> output_names() const {
        std::vector<std::string> names;
        while (const char* name = orr_session_output_name(raw(), static_cast<uint32_t>(names.size()))) names.emplace_back(name);
        return names;
    }
    void cancel() const { orr_session_cancel(raw()); }
    int64_t position() const { return orr_session_position(raw()); }
    Session fork() const {
        orr_session* s = nullptr;
        check(orr_session_fork(raw(), &s));
        return Session(s);
    }
    void mark() { check(orr_session_mark(raw())); }
    void rollback(int64_t position) { check(orr_session_rollback(raw(), position)); }
    void reset() { check(orr_session_reset(raw())); }
    void save(const std::string& path) const { check(orr_session_save(raw(), path.c_str())); }
    void load(const std::string& path) { check(orr_session_load(raw(), path.c_str())); }
    void trim() { check(orr_session_trim(raw())); }
    void warm_up(const char* entry, int64_t tokens) { check(orr_session_warm_up(raw(), entry, tokens)); }
    // What they point to is copied. Empty: none.
    void set_taps(const std::vector<orr_tap>& taps) {
        std::vector<const orr_tap*> pointers;
        for (const orr_tap& t : taps) pointers.push_back(&t);
        check(orr_session_set_taps(raw(), static_cast<uint32_t>(pointers.size()), pointers.data()));
    }
    void set_control(const std::string& name, const std::string& value_json) {
        check(orr_session_set_control(raw(), name.c_str(), value_json.c_str()));
    }
    // The report of orr_session_fit_control.
    std::string fit_control(const std::string& name, const orr_fit& limits) {
        orr_text* text = nullptr;
        check(orr_session_fit_control(raw(), name.c_str(), &limits, &text));
        return take(text);
    }
    // scales empty: 1 each. flags: ORR_ADAPTERS_*.
    void set_adapters(const std::vector<orr_adapter*>& adapters, const std::vector<double>& scales = {}, uint32_t flags = 0) {
        if (!scales.empty() && scales.size() != adapters.size())
            throw Error(ORR_INVALID_ARGUMENT, std::to_string(adapters.size()) + " adapters have " + std::to_string(scales.size()) + " scales");
        check(orr_session_set_adapters(raw(), static_cast<uint32_t>(adapters.size()), adapters.data(), scales.empty() ? nullptr : scales.data(), flags));
    }
    std::string describe(const std::string& what, const char* entry = nullptr) const {
        orr_text* text = nullptr;
        check(orr_session_describe(raw(), what.c_str(), entry, &text));
        return take(text);
    }

  private:
    Handle<orr_session, orr_session_release> handle_;
};

class Task {
  public:
    // Sees every event; returns false to stop.
    using OnEvent = std::function<bool(const orr_event&)>;
    // Sees each piece of text as it comes; returns false to stop.
    using OnText = std::function<bool(std::string_view)>;

    Task() = default;
    explicit Task(orr_task* raw) : handle_(raw) {}
    orr_task* raw() const { return handle_.raw(); }

    // Does one request (JSON as the task documents); gives the result's JSON. An exception of the callback stops the
    // task and comes out here.
    std::string run(const std::string& request_json, const OnEvent& on_event = {}) {
        Call call{&on_event, nullptr};
        orr_text* result = nullptr;
        const orr_status status = orr_task_run(raw(), request_json.c_str(), on_event ? forward : nullptr, &call, &result);
        const std::string text = take(result);
        if (call.thrown) std::rethrow_exception(call.thrown);
        check(status);
        return text;
    }
    // Text generation: on_text sees what becomes of the "text" member of the result.
    std::string generate(const std::string& request_json, const OnText& on_text) {
        return run(request_json, [&](const orr_event& e) {
            const bool text = std::strcmp(e.kind, "token") == 0 || std::strcmp(e.kind, "text") == 0;
            return !text || !e.text_size || on_text({e.text, static_cast<size_t>(e.text_size)});
        });
    }
    void cancel() const { orr_task_cancel(raw()); }  // any thread

  private:
    struct Call {
        const OnEvent* on_event;
        std::exception_ptr thrown;
    };
    static bool forward(void* user, const orr_event* event) {
        Call& call = *static_cast<Call*>(user);
        try {
            return (*call.on_event)(*event);
        } catch (...) {
            call.thrown = std::current_exception();
            return false;
        }
    }
    Handle<orr_task, orr_task_release> handle_;
};

// A LoRA adapter of a model; see orr_adapter_open.
class Adapter {
  public:
    Adapter() = default;
    explicit Adapter(orr_adapter* raw) : handle_(raw) {}
    orr_adapter* raw() const { return handle_.raw(); }
    std::string describe() const {
        orr_text* text = nullptr;
        check(orr_adapter_describe(raw(), &text));
        return take(text);
    }

  private:
    Handle<orr_adapter, orr_adapter_release> handle_;
};

class Model {
  public:
    Model() = default;
    explicit Model(orr_model* raw) : handle_(raw) {}
    orr_model* raw() const { return handle_.raw(); }

    std::string describe(const std::string& what, const char* entry = nullptr) const {
        orr_text* text = nullptr;
        check(orr_model_describe(raw(), what.c_str(), entry, &text));
        return take(text);
    }
    // flags: ORR_NO_SPECIAL
    std::vector<int32_t> tokenize(std::string_view text, uint32_t flags = 0) const {
        std::vector<int32_t> ids(text.size() / 2 + 16);
        uint64_t count = 0;
        check(orr_tokenize(raw(), text.data() ? text.data() : "", text.size(), flags, ids.data(), ids.size(), &count));
        if (count > ids.size()) {
            ids.resize(count);
            check(orr_tokenize(raw(), text.data(), text.size(), flags, ids.data(), ids.size(), &count));
        }
        ids.resize(count);
        return ids;
    }
    // flags: ORR_SKIP_SPECIAL
    std::string detokenize(const std::vector<int32_t>& ids, uint32_t flags = 0) const {
        orr_text* text = nullptr;
        check(orr_detokenize(raw(), ids.data(), ids.size(), flags, &text));
        return take(text);
    }
    std::string apply_chat_template(const std::string& messages_json, const std::string& options_json = "{}") const {
        orr_text* text = nullptr;
        check(orr_apply_chat_template(raw(), messages_json.c_str(), options_json.c_str(), &text));
        return take(text);
    }
    Session session(const orr_session_options* options = nullptr) const {
        orr_session* s = nullptr;
        check(orr_session_create(raw(), options, &s));
        return Session(s);
    }
    // A folder as PEFT writes it.
    Adapter adapter(const std::string& path) const {
        orr_model_options o = options<orr_model_options>();
        o.path = path.c_str();
        orr_adapter* a = nullptr;
        check(orr_adapter_open(raw(), &o, &a));
        return Adapter(a);
    }
    // kind nullptr: the model's first; session nullptr: the task makes its own.
    Task task(const char* kind = nullptr, const Session* session = nullptr) const {
        orr_task* t = nullptr;
        check(orr_task_create(raw(), kind, session ? session->raw() : nullptr, &t));
        return Task(t);
    }

  private:
    Handle<orr_model, orr_model_release> handle_;
};

// Not for a static where Vulkan is used, nor what is made with it: see orr_engine_release.
class Engine {
  public:
    explicit Engine(const orr_engine_options* options = nullptr) {
        orr_engine* e = nullptr;
        check(orr_engine_create(options, &e));
        handle_ = Handle<orr_engine, orr_engine_release>(e);
    }
    orr_engine* raw() const { return handle_.raw(); }

    std::string describe(const std::string& what) const {
        orr_text* text = nullptr;
        check(orr_engine_describe(raw(), what.c_str(), &text));
        return take(text);
    }
    void scan(const char* folder = nullptr) { check(orr_engine_scan(raw(), folder)); }
    Model open(const orr_model_options& options) const {
        orr_model* m = nullptr;
        check(orr_model_open(raw(), &options, &m));
        return Model(m);
    }
    Model open(const std::string& path) const {
        orr_model_options o = options<orr_model_options>();
        o.path = path.c_str();
        return open(o);
    }
    Model open_tokenizer(const orr_model_options& options) const {
        orr_model* m = nullptr;
        check(orr_tokenizer_open(raw(), &options, &m));
        return Model(m);
    }
    orr_estimate estimate(const orr_model_options& model, int64_t context = 0) const {
        orr_estimate e = options<orr_estimate>();
        check(orr_model_estimate(raw(), &model, context, &e));
        return e;
    }

  private:
    Handle<orr_engine, orr_engine_release> handle_;
};

}  // namespace orrery::host
#endif
