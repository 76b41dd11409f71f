// renderer.cpp. Paints the picture that the model looks at: rings that move with time.
// picture[c,y,x] = sin(r * 0.9 - time + c), r the distance from the middle; f32 [C, height, width]
#version 460
#extension GL_EXT_buffer_reference : require
layout(local_size_x = 64) in;
layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer Floats { float v[]; };
layout(push_constant) uniform Push {
    Floats picture;
    uint channels, height, width;
    float time;
};

void main() {
    const uint i = gl_GlobalInvocationID.x;
    if (i >= channels * height * width) return;
    const uint x = i % width, y = i / width % height, c = i / (width * height);
    const vec2 from_middle = vec2(x, y) - 0.5 * vec2(width - 1, height - 1);
    picture.v[i] = sin(length(from_middle) * 0.9 - time + float(c));
}
