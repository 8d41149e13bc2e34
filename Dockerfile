# Builds the server from this tree. The image holds the binary, the system's certificates and nothing else of ours.
FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo build --release --locked --bin livedraft

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 livedraft \
    && install --directory --owner=livedraft --mode=0700 /var/lib/livedraft
COPY --from=build /source/target/release/livedraft /usr/local/bin/livedraft
USER livedraft
VOLUME /var/lib/livedraft
EXPOSE 8080
ENTRYPOINT ["livedraft"]
# Inside the container every address is the container's own: who may reach it is decided where the port is published.
CMD ["serve", "--bind", "0.0.0.0:8080", "--allow-public", "--data", "/var/lib/livedraft"]
