// Time per operator class, and a trace of one run's steps.
#pragma once
#include <string>

#include "common.hpp"

namespace orrery::cli {

// Of a session's "profile": [{"op", "device", "steps", "ms", "share"}], the slowest first; ms of one run.
json operator_times(const json& profile);

// Events of one run, its steps one behind the other: what Perfetto and chrome://tracing open.
class Trace {
  public:
    void add(const std::string& name, const json& profile);
    void write(const std::string& path) const;

  private:
    json events_ = json::array();
    int process_ = 0;
};

}  // namespace orrery::cli
