# Posthorn as a container: one static program, certificates, its configuration and
# a folder for data.
#
#   docker build -t posthorn . && docker run -p 8000:8000 posthorn
#
# That is `posthorn local`: everything in one process. `docker run posthorn serve`
# is a server on an account's services. --build-arg VERSION=1.2.3 names the build.

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
RUN make image-root VERSION="$VERSION"

FROM scratch
COPY --from=build /src/build/image/root /
COPY --from=build --chown=65532:65532 /src/build/image/data /data
# Nobody: a number, so that Kubernetes can see that it is not root.
USER 65532:65532
ENV HOST=0.0.0.0 PORT=8000 POSTHORN_DATA_DIR=/data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=6s --start-period=5s CMD ["/posthorn", "health"]
ENTRYPOINT ["/posthorn"]
CMD ["local"]
