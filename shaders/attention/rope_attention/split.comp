// Device half of plugins/attention/ops/rope_attention/rope_attention_vulkan.cpp
// Few query tokens: rotations, appends and attention in one dispatch.
#version 460
#extension GL_GOOGLE_include_directive : require
#define TURNED
#include "attention/attention/split_subgroup.glsl"
