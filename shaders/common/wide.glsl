// 64-bit integers as two words, the low one first: devices need not have them.
#ifndef ORR_WIDE_GLSL
#define ORR_WIDE_GLSL
uvec2 wide_add(uvec2 a, uvec2 b) {
    uint carry;
    const uint low = uaddCarry(a.x, b.x, carry);
    return uvec2(low, a.y + b.y + carry);
}
uvec2 wide_sub(uvec2 a, uvec2 b) {
    uint borrow;
    const uint low = usubBorrow(a.x, b.x, borrow);
    return uvec2(low, a.y - b.y - borrow);
}
uvec2 wide_mul(uvec2 a, uvec2 b) {
    uint high, low;
    umulExtended(a.x, b.x, high, low);
    return uvec2(low, high + a.x * b.y + a.y * b.x);
}
bool wide_less(uvec2 a, uvec2 b) { return a.y == b.y ? a.x < b.x : int(a.y) < int(b.y); }
uvec2 wide_of(int v) { return uvec2(uint(v), v < 0 ? 0xffffffffu : 0u); }
#endif
