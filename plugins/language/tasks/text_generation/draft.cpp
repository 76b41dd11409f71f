#include "draft.hpp"

#include <algorithm>

namespace orrery::text_generation {

namespace {
constexpr size_t kLongest = 32;  // agreement beyond this is not counted: sequences that repeat themselves would cost their square
}  // namespace

void look_up(const std::vector<int32_t>& ids, int64_t ngram, int64_t most, std::vector<int32_t>& draft) {
    draft.clear();
    const size_t size = ids.size();
    size_t best = static_cast<size_t>(ngram) - 1, at = 0;
    for (size_t end = size; end-- > 1 && best < kLongest;) {  // tokens [end - length, end) against the last ones
        size_t length = 0;
        while (length < kLongest && length < end && ids[end - 1 - length] == ids[size - 1 - length]) length++;
        if (length > best) best = length, at = end;
    }
    if (at == 0) return;
    for (size_t i = 0; i < static_cast<size_t>(std::max<int64_t>(most, 0)); i++) draft.push_back(at + i < size ? ids[at + i] : draft[at + i - size]);
}

void DraftLength::learn(int64_t drafted, int64_t accepted) {
    length_ = std::clamp<int64_t>(accepted == drafted ? std::max(length_, 2 * drafted) : accepted + 1, 1, most_);
}

}  // namespace orrery::text_generation
