// An orr_tokenizer over a text::Tokenizer.
#pragma once

#include <memory>
#include <string>

#include "orrery/plugin.hpp"
#include "text.hpp"

namespace orrery::text {

// Runs fn like orrery::guard and gives TextError its status.
template <class Fn>
orr_status guarded(const orr_host* host, Fn&& fn) noexcept {
    return guard(host, [&]() -> orr_status {
        try {
            fn();
            return ORR_OK;
        } catch (const TextError& e) {
            const orr_status code = e.kind() == ErrorKind::invalid_data ? ORR_CORRUPT : e.kind() == ErrorKind::limit ? ORR_LIMIT : ORR_UNSUPPORTED;
            return host->fail(host, code, e.what());
        }
    });
}

// info_json: an object for people. The caller closes it through its close member.
orr_tokenizer* make_table(const orr_host* host, std::unique_ptr<Tokenizer> tokenizer, std::string info_json);

// A file's whole text; empty where it does not exist. Throws orrery::Error where reading fails.
std::string read_file(const orr_files* files, const char* name);

}  // namespace orrery::text
