// Device half of plugins/core/ops/minimum/minimum.cpp
#version 460
#define ORR_BINARY 5
#extension GL_GOOGLE_include_directive : require
#include "common/binary.glsl"
