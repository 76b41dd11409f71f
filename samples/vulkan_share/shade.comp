// renderer.cpp. Draws the model's scores as bars, from where the model left them.
// bars[row,class]: whether exp(score - largest) / sum reaches (rows - row) / rows; scores f32 [classes], bars u32 [rows, classes].
// Behind the bars the scores themselves, for whoever wants to compare.
#version 460
#extension GL_EXT_buffer_reference : require
layout(local_size_x = 64) in;
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Scores { float v[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer Words { uint v[]; };
layout(push_constant) uniform Push {
    Scores scores;
    Words bars;
    uint classes, rows;
};

void main() {
    const uint i = gl_GlobalInvocationID.x;
    if (i >= classes) return;
    float largest = scores.v[0], sum = 0.0;
    for (uint k = 1; k < classes; k++) largest = max(largest, scores.v[k]);
    for (uint k = 0; k < classes; k++) sum += exp(scores.v[k] - largest);
    const float share = exp(scores.v[i] - largest) / sum;
    for (uint row = 0; row < rows; row++) bars.v[row * classes + i] = share * float(rows) >= float(rows - row) - 0.5 ? 1u : 0u;
    bars.v[rows * classes + i] = floatBitsToUint(scores.v[i]);
}
