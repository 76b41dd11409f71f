// How a few rows of x end: an element's sums over the subgroups, told by total(fragment, token, row), meet bias, activation and residual. A workgroup has
// X_ROWS tokens from `first` on and TILE_N weight rows, gated half as many of each weight.
void end_rows(Part p, uint first) {
    const uint wide = GATED != 0u ? TILE_N / 2u : TILE_N;
    for (uint o = gl_LocalInvocationID.x; o < wide * X_ROWS; o += GROUP) {
        const uint token = o / wide, r = o % wide, n = p.group * wide + r;
        if (first + token >= tokens || n >= p.n) continue;
        if (GATED != 0u) product_end_gated(p, first + token, n, total(r / 16u * 2u, token, r % 16u), total(r / 16u * 2u + 1u, token, r % 16u));
        else product_end(p, first + token, n, total(r / 16u, token, r % 16u));
    }
}
