// Structs as hosts give them.
#pragma once
#include <cstddef>
#include <cstring>
#include <string>

#include "orrery/ext/vulkan.h"
#include "orrery/orrery.h"
#include "orrery/plugin.hpp"

namespace orrery {

// Where each member of a host's struct begins and ends; `least`: bytes up to the last of its first edition.
struct Member {
    size_t begin, end;
};
template <class T>
struct Members;

#define ORR_MEMBER(m) Member{offsetof(S, m), offsetof(S, m) + sizeof(S::m)}
#define ORR_MEMBERS(type, first, ...)                                            \
    template <>                                                                  \
    struct Members<type> {                                                       \
        using S = type;                                                          \
        static constexpr Member kAll[] = {ORR_MEMBER(header), __VA_ARGS__};      \
        static constexpr size_t kLeast = offsetof(S, first) + sizeof(S::first);  \
    };
ORR_MEMBERS(orr_allocator, release, ORR_MEMBER(user), ORR_MEMBER(allocate), ORR_MEMBER(release))
ORR_MEMBERS(orr_executor, submit, ORR_MEMBER(user), ORR_MEMBER(threads), ORR_MEMBER(submit))
ORR_MEMBERS(orr_engine_options, isa, ORR_MEMBER(allocator), ORR_MEMBER(executor), ORR_MEMBER(log), ORR_MEMBER(log_user), ORR_MEMBER(log_level), ORR_MEMBER(plugin_dirs),
            ORR_MEMBER(no_default_plugins), ORR_MEMBER(memory_budget_bytes), ORR_MEMBER(isa), ORR_MEMBER(device_memory_budget_bytes), ORR_MEMBER(vulkan), ORR_MEMBER(cache_dir),
            ORR_MEMBER(device_submission_ms), ORR_MEMBER(no_self_test), ORR_MEMBER(without_shaders))
ORR_MEMBERS(orr_io, read, ORR_MEMBER(user), ORR_MEMBER(open), ORR_MEMBER(size), ORR_MEMBER(read))
ORR_MEMBERS(orr_blob, size, ORR_MEMBER(name), ORR_MEMBER(data), ORR_MEMBER(size))
ORR_MEMBERS(orr_model_options, progress_user, ORR_MEMBER(path), ORR_MEMBER(io), ORR_MEMBER(blobs), ORR_MEMBER(blob_count), ORR_MEMBER(device), ORR_MEMBER(progress), ORR_MEMBER(progress_user),
            ORR_MEMBER(allow_extra_tensors))
ORR_MEMBERS(orr_estimate, fits, ORR_MEMBER(weight_bytes), ORR_MEMBER(state_bytes), ORR_MEMBER(workspace_bytes), ORR_MEMBER(available_bytes), ORR_MEMBER(fits))
ORR_MEMBERS(orr_named_tensor, size_bytes, ORR_MEMBER(name), ORR_MEMBER(type), ORR_MEMBER(rank), ORR_MEMBER(shape), ORR_MEMBER(data), ORR_MEMBER(size_bytes), ORR_MEMBER(buffer))
ORR_MEMBERS(orr_session_options, profile, ORR_MEMBER(context), ORR_MEMBER(batch), ORR_MEMBER(threads), ORR_MEMBER(numerics), ORR_MEMBER(cache_type), ORR_MEMBER(isa), ORR_MEMBER(progress),
            ORR_MEMBER(progress_user), ORR_MEMBER(priority), ORR_MEMBER(reference_kernels), ORR_MEMBER(no_rewrites), ORR_MEMBER(profile))
ORR_MEMBERS(orr_tap, end_run, ORR_MEMBER(path), ORR_MEMBER(kind), ORR_MEMBER(factor), ORR_MEMBER(count), ORR_MEMBER(operand), ORR_MEMBER(first_position), ORR_MEMBER(end_position), ORR_MEMBER(first_run),
            ORR_MEMBER(end_run))
ORR_MEMBERS(orr_fit, values, ORR_MEMBER(memory_bytes), ORR_MEMBER(weight_bytes), ORR_MEMBER(time_ns), ORR_MEMBER(entry), ORR_MEMBER(tokens), ORR_MEMBER(value_count), ORR_MEMBER(values))
ORR_MEMBERS(orr_vulkan_host, user, ORR_MEMBER(get_instance_proc_addr), ORR_MEMBER(instance), ORR_MEMBER(physical_device), ORR_MEMBER(device), ORR_MEMBER(queue), ORR_MEMBER(queue_family),
            ORR_MEMBER(api_version), ORR_MEMBER(extensions), ORR_MEMBER(features), ORR_MEMBER(lock_queue), ORR_MEMBER(unlock_queue), ORR_MEMBER(user))
ORR_MEMBERS(orr_vulkan_buffer, usage, ORR_MEMBER(handle), ORR_MEMBER(offset), ORR_MEMBER(address), ORR_MEMBER(bytes), ORR_MEMBER(usage))
ORR_MEMBERS(orr_vulkan_semaphore, value, ORR_MEMBER(handle), ORR_MEMBER(value))
ORR_MEMBERS(orr_vulkan_output, buffer, ORR_MEMBER(name), ORR_MEMBER(buffer))
ORR_MEMBERS(orr_vulkan_share, outputs, ORR_MEMBER(wait_count), ORR_MEMBER(signal_count), ORR_MEMBER(waits), ORR_MEMBER(signals), ORR_MEMBER(output_count), ORR_MEMBER(outputs))
#undef ORR_MEMBERS
#undef ORR_MEMBER

// Whether no member is left out, but for one that would fit into the padding of another.
template <class T>
constexpr bool members_are_told() {
    size_t end = 0;
    for (const Member& m : Members<T>::kAll) {
        if (m.begin < end || m.begin - end >= alignof(T)) return false;
        end = m.end;
    }
    return sizeof(T) - end < alignof(T);
}

// Bytes of a struct of the told size that hold whole members. Throws ORR_ABI_MISMATCH where it is short of the first edition's.
template <class T>
size_t whole_members(uint32_t struct_size, const char* name) {
    static_assert(members_are_told<T>());
    if (struct_size < Members<T>::kLeast)
        throw Error(ORR_ABI_MISMATCH, std::string(name) + ": struct_size is " + std::to_string(struct_size) + ", at least " + std::to_string(Members<T>::kLeast) + " is wanted");
    size_t bytes = 0;
    for (const Member& m : Members<T>::kAll)
        if (m.end <= struct_size) bytes = m.end;
    return bytes;
}

// A copy in which members that the host's version lacks, or has a part of, are zero. given NULL: all are. Throws ORR_ABI_MISMATCH.
template <class T>
T copy_options(const T* given, const char* name) {
    T copy{};
    if (!given) return copy;
    if (given->header.abi_major != ORR_ABI_MAJOR)
        throw Error(ORR_ABI_MISMATCH, std::string(name) + ": ABI major " + std::to_string(given->header.abi_major) + ", this library has " + std::to_string(ORR_ABI_MAJOR));
    std::memcpy(static_cast<void*>(&copy), given, whole_members<T>(given->header.struct_size, name));
    return copy;
}

}  // namespace orrery
