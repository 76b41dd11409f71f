// Device half of plugins/core/ops/linear/linear_vulkan.cpp
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common/product_coopmat2.glsl"
