// Device half of plugins/core/ops/sub/sub.cpp
#version 460
#define ORR_BINARY 1
#extension GL_GOOGLE_include_directive : require
#include "common/binary.glsl"
