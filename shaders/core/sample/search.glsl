// The search for thresholds: key by key from the top, digit by digit. A state is (active, the digits found so far, what is still
// needed: logits, or weight in two words). After the last digit: the threshold key, of which as much is kept as is still needed.
const uint SHIFTS[3] = uint[3](21u, 10u, 0u);
uint digit_of(uint key, uint level) { return level == 0u ? key >> 21 : level == 1u ? key >> 10 & 2047u : key & 1023u; }
bool has_prefix(uint key, uint prefix, uint level) { return level == 0u || key >> SHIFTS[level - 1u] == prefix >> SHIFTS[level - 1u]; }
uint bins_of(uint level) { return level == 2u ? 1024u : 2048u; }

uvec4 state_at(uint slot) { return uvec4(word_of(SAMPLE_STATES + 4u * slot), word_of(SAMPLE_STATES + 4u * slot + 1u), word_of(SAMPLE_STATES + 4u * slot + 2u), word_of(SAMPLE_STATES + 4u * slot + 3u)); }
void store_state(uint slot, uvec4 state) {
    if (gl_WorkGroupID.x == 0u && LANE == 0u)
        for (uint i = 0u; i < 4u; i++) set_word(SAMPLE_STATES + 4u * slot + i, state[i]);
}

shared uvec4 found_;

// The digit at which as many logits are reached as are needed. Not active: there are fewer, all are kept.
uvec4 search_counts(uint level, uvec4 state) {
    if (state.x == 0u) return state;
    const uint bins = bins_of(level), part = bins / ORR_GROUP, first = bins - 1u - LANE * part;
    uint sum = 0u;
    for (uint j = 0u; j < part; j++) sum += word_of(SAMPLE_COUNTS + level * SAMPLE_BINS + first - j);
    const uint end = scan_add(sum);
    if (LANE == 0u) found_ = uvec4(0u);
    barrier();
    if (end - sum < state.z && state.z <= end) {
        uint above = end - sum;
        for (uint j = 0u; j < part; j++) {
            const uint here = word_of(SAMPLE_COUNTS + level * SAMPLE_BINS + first - j);
            if (above + here >= state.z) {
                found_ = uvec4(1u, state.y | (first - j) << SHIFTS[level], state.z - above, 0u);
                break;
            }
            above += here;
        }
    }
    barrier();
    const uvec4 found = found_;
    barrier();
    return found;
}
// Before pass `level` of counting; 3: the threshold of top-k.
uvec4 count_state(uint level) {
    uvec4 state = uvec4(1u, 0u, count_of_row(), 0u);
    if (level == 0u) return state;
    if (level > 1u) state = state_at(level - 1u);
    state = search_counts(level - 1u, state);
    store_state(level, state);
    return state;
}

uvec2 share_at(uint level, uint bin) {
    const uint at = SAMPLE_SHARES + 3u * (level * SAMPLE_BINS + bin);
    const uint low = word_of(at), middle = word_of(at + 1u), high = word_of(at + 2u);
    return wide_add(wide_add(uvec2(low, 0u), uvec2(middle << 21, middle >> 11)), uvec2(0u, high << 10));
}
uvec4 search_shares(uint level, uvec4 state) {
    const uint bins = bins_of(level), part = bins / ORR_GROUP, first = bins - 1u - LANE * part;
    uvec2 sum = uvec2(0u);
    for (uint j = 0u; j < part; j++) sum = wide_add(sum, share_at(level, first - j));
    const uvec2 end = scan_wide(sum);
    uvec2 needed = state.zw;
    if (level == 0u) {
        needed = wanted_of(share_of_row(), wide_scan_[ORR_GROUP - 1u]);
        if (needed == uvec2(0u)) needed = uvec2(1u, 0u);  // the largest is always kept
    }
    uvec2 above = wide_sub(end, sum);
    if (wide_less(above, needed) && !wide_less(end, needed)) {
        for (uint j = 0u; j < part; j++) {
            const uvec2 next = wide_add(above, share_at(level, first - j));
            if (!wide_less(next, needed)) {
                const uvec2 rest = wide_sub(needed, above);
                found_ = uvec4(1u, state.y | (first - j) << SHIFTS[level], rest);
                break;
            }
            above = next;
        }
    }
    barrier();
    const uvec4 found = found_;
    barrier();
    return found;
}
// Before pass `level` of weighing; 3: the threshold of top-p.
uvec4 share_state(uint level) {
    uvec4 state = uvec4(1u, 0u, 0u, 0u);
    if (level == 0u) return state;
    if (level > 1u) state = state_at(level + 2u);
    state = search_shares(level - 1u, state);
    store_state(level + 3u, state);
    return state;
}
