// The memory of sessions: pages and blocks that are counted, so that fork, marks and rollback share them until one writes.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/backend/device.hpp"
#include "engine/graph/graph.hpp"
#include "engine/weights/memory.hpp"

namespace orrery {

class PagePool;

struct Page {
    PagePool* pool;
    std::atomic<uint32_t> references{0};
    char* data;     // host memory, or an address of the device's
    size_t slab;    // of the pool
    uint64_t offset;
};

// Counted reference to a page.
class PageRef {
  public:
    PageRef() = default;
    explicit PageRef(Page* p) : page_(p) { add(); }
    PageRef(const PageRef& o) : page_(o.page_) { add(); }
    PageRef(PageRef&& o) noexcept : page_(o.page_) { o.page_ = nullptr; }
    PageRef& operator=(PageRef o) noexcept {
        std::swap(page_, o.page_);
        return *this;
    }
    ~PageRef();
    char* data() const { return page_ ? page_->data : nullptr; }
    bool shared() const { return page_ && page_->references.load(std::memory_order_acquire) > 1; }
    explicit operator bool() const { return page_ != nullptr; }
    const Page* page() const { return page_; }

  private:
    void add() {
        if (page_) page_->references.fetch_add(1, std::memory_order_relaxed);
    }
    Page* page_ = nullptr;
};

// Pages of one size, in host memory or on a device. Grows by slabs; slabs are given back by trim() or at the end.
class PagePool {
  public:
    PagePool(std::shared_ptr<Memory> memory, std::shared_ptr<Device> device, size_t page_bytes, size_t first_slab_pages);
    PageRef take();  // contents undefined
    void give_back(Page* page) noexcept;
    bool on_device() const { return device_ != nullptr; }
    // Whole pages: contents set to zero, taken from another page, moved to and from host memory.
    void zero(const PageRef& page);
    void copy(const PageRef& src, const PageRef& dst);
    void read(const PageRef& page, void* dst);
    void write(const PageRef& page, const void* src);
    size_t page_bytes() const { return page_bytes_; }
    uint64_t bytes() const;
    // What a pool makes of a page's bytes, and how many pages it adds at once when the first slab is used up.
    static size_t whole_bytes(size_t page_bytes) { return (page_bytes + 63) / 64 * 64; }
    static size_t further_pages(size_t first_slab_pages) { return first_slab_pages / 8 > 4 ? first_slab_pages / 8 : 4; }

  private:
    void grow(size_t pages);
    struct Slab {
        Buffer memory;
        std::shared_ptr<DeviceBlock> block;
        std::unique_ptr<Page[]> pages;
    };
    std::shared_ptr<DeviceBlock> block_of(const PageRef& page);
    std::shared_ptr<Memory> memory_;
    std::shared_ptr<Device> device_;
    size_t page_bytes_, first_slab_pages_;
    mutable std::mutex mutex_;
    std::vector<Slab> slabs_;
    std::vector<Page*> free_;
};

constexpr int32_t kPageTokens = 64;
constexpr int64_t kRollbackSlack = 128;  // tokens that a window keeps beyond itself, so that short rollbacks work

// Whether two say the same of what a state holds.
bool same_state(const StateDef& a, const StateDef& b);
std::string state_text(const StateDef& def);  // for messages: "append [2, 64], window 0"

// One state of one sequence.
struct SequenceState {
    // append and frozen
    std::vector<PageRef> pages;
    std::vector<void*> addresses;  // of pages; what kernels see
    int64_t length = 0, first = 0;
    // recurrent: what a run reads and what it writes; exchanged at its end
    PageRef current, spare;
};

// One declared state of a session: all its sequences.
class SessionState {
  public:
    SessionState(const StateDef& def, const TypeInfo& type, int64_t batch, int64_t context, std::shared_ptr<PagePool> pool);
    SessionState(const SessionState&) = default;

    const StateDef& def() const { return def_; }
    const TypeInfo& type() const { return *type_; }
    int64_t length() const { return rows_.empty() ? 0 : rows_[0].length; }
    // Tokens of the sequence that it has seen: the session's position, unless a control left its layer out.
    int64_t seen() const { return seen_; }
    void set_seen(int64_t tokens) { seen_ = tokens; }
    std::vector<SequenceState>& rows() { return rows_; }
    const std::vector<SequenceState>& rows() const { return rows_; }

    // Makes room for `tokens` more, owned by this session alone. Append: [length, length + tokens).
    void reserve(int64_t tokens);
    // The run has ended well: lengths grow, recurrent blocks are exchanged, windows drop pages.
    void commit(int64_t tokens);
    // Drops what lies behind `length`, if anything does. False when a window has already dropped what would be needed.
    bool truncate(int64_t length);
    bool can_truncate(int64_t length) const;
    void clear();
    // Empties a frozen state for a run that writes it anew; restore() takes the old contents back when that run fails.
    void set_aside();
    void restore();
    uint64_t bytes() const;  // pages held, shared ones counted whole
    // Rows of one token: what save and load move.
    size_t page_bytes() const { return pool_->page_bytes(); }
    PagePool& pool() const { return *pool_; }
    // Moves the contents to pages of another pool, of the same page size.
    void move_to(std::shared_ptr<PagePool> pool);
    // Replaces the contents by `length` tokens whose pages the caller then fills (load).
    void allocate(int64_t length, int64_t first);

    static size_t page_bytes_for(const StateDef& def, const TypeInfo& type);
    // Pages that a session reserves for one sequence of up to `context` tokens.
    static int64_t first_pages(const StateDef& def, int64_t context);

  private:
    StateDef def_;
    const TypeInfo* type_;
    std::shared_ptr<PagePool> pool_;
    std::vector<SequenceState> rows_;
    size_t row_pages_;  // that a row has capacity for
    int64_t seen_ = 0;
    std::vector<SequenceState> aside_;  // of a frozen state, while a run writes it
};

}  // namespace orrery
