// The opaque handles of orrery.h.
#pragma once
#include <memory>
#include <string>

#include "engine/run/adapter.hpp"
#include "engine/run/session.hpp"
#include "orrery/plugin.hpp"
#include "orrery/ext/tasks.h"

struct orr_engine {
    std::shared_ptr<orrery::Engine> engine;
};
struct orr_model {
    std::shared_ptr<orrery::Model> model;
};
struct orr_session {
    std::shared_ptr<orrery::Session> session;
};
struct orr_adapter {
    std::shared_ptr<orrery::Adapter> adapter;
};
struct orr_task {
    std::shared_ptr<orrery::Model> model;
    std::unique_ptr<orr_model> model_handle;  // what the task's plugin was given
    std::unique_ptr<orr_session> session_handle;
    const orr_task_kind* kind = nullptr;
    void* task = nullptr;
};
struct orr_text {
    std::string text;
};

namespace orrery {

inline void require(const void* p, const char* what) {
    if (!p) throw Error(ORR_INVALID_ARGUMENT, std::string(what) + " is NULL");
}
inline orr_text* make_text(std::string s) { return new orr_text{std::move(s)}; }

}  // namespace orrery
