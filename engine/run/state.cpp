#include "engine/run/state.hpp"

#include <algorithm>
#include <cstring>

#include "orrery/plugin.hpp"

namespace orrery {

PageRef::~PageRef() {
    if (page_ && page_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) page_->pool->give_back(page_);
}

PagePool::PagePool(std::shared_ptr<Memory> memory, std::shared_ptr<Device> device, size_t page_bytes, size_t first_slab_pages)
    : memory_(std::move(memory)), device_(std::move(device)), page_bytes_(whole_bytes(page_bytes)), first_slab_pages_(std::max<size_t>(first_slab_pages, 1)) {}

void PagePool::grow(size_t count) {
    Slab slab{Buffer(), nullptr, std::make_unique<Page[]>(count)};
    if (device_)
        slab.block = device_->allocate(page_bytes_ * count, DeviceUse::state, "session states");
    else
        slab.memory = Buffer(memory_, page_bytes_ * count, 64, "session states");
    char* const base = device_ ? reinterpret_cast<char*>(slab.block->address()) : slab.memory.bytes();
    free_.reserve(free_.capacity() + count);
    for (size_t i = count; i-- > 0;) {
        slab.pages[i].pool = this;
        slab.pages[i].slab = slabs_.size();
        slab.pages[i].offset = i * page_bytes_;
        slab.pages[i].data = base + i * page_bytes_;
        free_.push_back(&slab.pages[i]);
    }
    slabs_.push_back(std::move(slab));
}

PageRef PagePool::take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) grow(slabs_.empty() ? first_slab_pages_ : further_pages(first_slab_pages_));
    Page* page = free_.back();
    free_.pop_back();
    return PageRef(page);
}

void PagePool::give_back(Page* page) noexcept {
    const std::lock_guard lock(mutex_);
    free_.push_back(page);  // capacity was reserved in grow()
}

uint64_t PagePool::bytes() const {
    const std::lock_guard lock(mutex_);
    uint64_t sum = 0;
    for (const auto& s : slabs_) sum += s.block ? s.block->bytes() : s.memory.size();
    return sum;
}

std::shared_ptr<DeviceBlock> PagePool::block_of(const PageRef& page) {
    const std::lock_guard lock(mutex_);
    return slabs_[page.page()->slab].block;
}

void PagePool::zero(const PageRef& page) {
    if (device_)
        device_->fill_zero(*block_of(page), page.page()->offset, page_bytes_);
    else
        std::memset(page.data(), 0, page_bytes_);
}

void PagePool::copy(const PageRef& src, const PageRef& dst) {
    if (device_)
        device_->copy(*block_of(src), src.page()->offset, *block_of(dst), dst.page()->offset, page_bytes_);
    else
        std::memcpy(dst.data(), src.data(), page_bytes_);
}

void PagePool::read(const PageRef& page, void* dst) {
    if (device_)
        device_->read(*block_of(page), page.page()->offset, dst, page_bytes_);
    else
        std::memcpy(dst, page.data(), page_bytes_);
}

void PagePool::write(const PageRef& page, const void* src) {
    if (device_)
        device_->write(*block_of(page), page.page()->offset, src, page_bytes_);
    else
        std::memcpy(page.data(), src, page_bytes_);
}

size_t SessionState::page_bytes_for(const StateDef& def, const TypeInfo& type) {
    uint64_t elems = 1;
    for (const int64_t d : def.dims) elems *= static_cast<uint64_t>(d);
    if (def.kind != ORR_STATE_RECURRENT) elems *= kPageTokens;
    return elems / type.block_elems * type.block_bytes;
}

int64_t SessionState::first_pages(const StateDef& def, int64_t context) {
    if (def.kind == ORR_STATE_RECURRENT) return 2;
    const int64_t tokens = def.window > 0 ? std::min(context, def.window + kRollbackSlack + 9 * kPageTokens) : context;
    return std::max<int64_t>((tokens + kPageTokens - 1) / kPageTokens, 1);
}

bool same_state(const StateDef& a, const StateDef& b) { return a.kind == b.kind && a.type == b.type && a.dims == b.dims && a.window == b.window; }

std::string state_text(const StateDef& def) {
    std::string dims;
    for (const int64_t d : def.dims) dims += (dims.empty() ? "" : ", ") + std::to_string(d);
    const char* const kind = def.kind == ORR_STATE_RECURRENT ? "recurrent" : def.kind == ORR_STATE_FROZEN ? "frozen" : "append";
    return kind + (" [" + dims) + "], window " + std::to_string(def.window) + (def.type ? ", type " + std::to_string(def.type) : "");
}

SessionState::SessionState(const StateDef& def, const TypeInfo& type, int64_t batch, int64_t context, std::shared_ptr<PagePool> pool)
    : def_(def), type_(&type), pool_(std::move(pool)), rows_(static_cast<size_t>(batch)), row_pages_(def.kind == ORR_STATE_RECURRENT ? 0 : static_cast<size_t>(context / kPageTokens + 2)) {
    for (auto& row : rows_) {
        if (def_.kind == ORR_STATE_RECURRENT) {
            row.current = pool_->take();
            pool_->zero(row.current);
            row.spare = pool_->take();
        } else {
            row.pages.reserve(row_pages_);
            row.addresses.reserve(row_pages_);
        }
    }
}

void SessionState::reserve(int64_t tokens) {
    for (auto& row : rows_) {
        if (def_.kind == ORR_STATE_RECURRENT) {
            if (!row.spare || row.spare.shared()) row.spare = pool_->take();
            continue;
        }
        const auto last = static_cast<size_t>((row.length + tokens + kPageTokens - 1) / kPageTokens);
        if (row.pages.size() < last) {
            row.pages.resize(last);
            row.addresses.resize(last, nullptr);
        }
        for (auto p = static_cast<size_t>(row.length / kPageTokens); p < last; p++) {
            if (row.pages[p] && !row.pages[p].shared()) continue;
            PageRef fresh = pool_->take();
            // Only a page that starts before `length` holds tokens that matter.
            if (row.pages[p] && static_cast<int64_t>(p) * kPageTokens < row.length) pool_->copy(row.pages[p], fresh);
            row.pages[p] = std::move(fresh);
            row.addresses[p] = row.pages[p].data();
        }
    }
}

void SessionState::commit(int64_t tokens) {
    aside_.clear();
    for (auto& row : rows_) {
        if (def_.kind == ORR_STATE_RECURRENT) {
            std::swap(row.current, row.spare);
            if (row.spare.shared()) row.spare = PageRef();
            continue;
        }
        row.length += tokens;
        if (def_.window > 0) {
            const int64_t keep = row.length - def_.window - kRollbackSlack;
            while (row.first + kPageTokens <= keep) {
                const auto p = static_cast<size_t>(row.first / kPageTokens);
                row.pages[p] = PageRef();
                row.addresses[p] = nullptr;
                row.first += kPageTokens;
            }
        }
    }
}

bool SessionState::can_truncate(int64_t length) const {
    if (def_.kind == ORR_STATE_RECURRENT) return seen_ <= length;
    for (const auto& row : rows_)
        if (length < row.length && (row.first > 0 && length - std::max<int64_t>(def_.window, 1) + 1 < row.first)) return false;
    return true;
}

bool SessionState::truncate(int64_t length) {
    if (!can_truncate(length)) return false;
    seen_ = std::min(seen_, length);
    if (def_.kind == ORR_STATE_RECURRENT) return true;
    for (auto& row : rows_) {
        row.length = std::min(row.length, length);
        const auto keep = static_cast<size_t>((row.length + kPageTokens - 1) / kPageTokens);
        while (row.pages.size() > keep) {
            row.pages.pop_back();
            row.addresses.pop_back();
        }
    }
    return true;
}

void SessionState::clear() {
    seen_ = 0;
    for (auto& row : rows_) {
        if (def_.kind == ORR_STATE_RECURRENT) {
            if (row.current.shared() || !row.current) row.current = pool_->take();
            pool_->zero(row.current);
        } else {
            row.pages.clear();
            row.addresses.clear();
            row.length = row.first = 0;
        }
    }
}

void SessionState::set_aside() {
    std::vector<SequenceState> copy = rows_;
    aside_ = std::move(copy);
    clear();
}

void SessionState::restore() {
    if (aside_.empty()) return;
    rows_ = std::move(aside_);
    aside_.clear();
}

void SessionState::allocate(int64_t length, int64_t first) {
    clear();
    if (def_.kind == ORR_STATE_RECURRENT) return;
    for (auto& row : rows_) {
        const auto count = static_cast<size_t>((length + kPageTokens - 1) / kPageTokens);
        row.pages.resize(count);
        row.addresses.resize(count, nullptr);
        for (auto p = static_cast<size_t>(first / kPageTokens); p < count; p++) {
            row.pages[p] = pool_->take();
            row.addresses[p] = row.pages[p].data();
        }
        row.length = length;
        row.first = first;
    }
}

void SessionState::move_to(std::shared_ptr<PagePool> pool) {
    std::vector<char> bytes(pool_->page_bytes());
    const auto move = [&](PageRef& page) {
        if (!page) return;
        PageRef fresh = pool->take();
        pool_->read(page, bytes.data());
        pool->write(fresh, bytes.data());
        page = std::move(fresh);
    };
    for (auto& row : rows_) {
        move(row.current);
        row.spare = PageRef();
        for (size_t p = 0; p < row.pages.size(); p++) {
            move(row.pages[p]);
            row.addresses[p] = row.pages[p].data();
        }
        row.pages.reserve(row_pages_);
        row.addresses.reserve(row_pages_);
    }
    pool_ = std::move(pool);
}

uint64_t SessionState::bytes() const {
    uint64_t pages = 0;
    for (const auto& row : rows_) {
        if (def_.kind == ORR_STATE_RECURRENT) pages += 1 + (row.spare ? 1 : 0);
        for (const auto& p : row.pages) pages += p ? 1 : 0;
    }
    return pages * pool_->page_bytes();
}

}  // namespace orrery
