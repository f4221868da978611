# `sam build` runs make here for Architecture=x86_64.
LAMBDA_GOARCH := amd64
