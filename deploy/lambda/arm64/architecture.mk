# `sam build` runs make here for Architecture=arm64.
LAMBDA_GOARCH := arm64
