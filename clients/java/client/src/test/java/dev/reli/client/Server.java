package dev.reli.client;

import io.grpc.BindableService;
import io.grpc.Channel;
import io.grpc.ClientInterceptor;
import io.grpc.ClientInterceptors;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerServiceDefinition;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** A server in this process, which remembers the metadata of what it was sent. */
final class Server implements AutoCloseable, ServerInterceptor {
  final List<Metadata> received = new CopyOnWriteArrayList<>();
  private final io.grpc.Server server;
  private final ManagedChannel channel;

  Server(BindableService service) throws IOException {
    this(service.bindService());
  }

  Server(ServerServiceDefinition service) throws IOException {
    String name = InProcessServerBuilder.generateName();
    server = InProcessServerBuilder.forName(name).addService(service).intercept(this).build();
    server.start();
    channel = InProcessChannelBuilder.forName(name).build();
  }

  Channel channel(ClientInterceptor... outermostFirst) {
    return ClientInterceptors.interceptForward(channel, outermostFirst);
  }

  @Override
  public <ReqT, RespT> ServerCall.Listener<ReqT> interceptCall(
      ServerCall<ReqT, RespT> call, Metadata headers, ServerCallHandler<ReqT, RespT> next) {
    received.add(headers);
    return next.startCall(call, headers);
  }

  @Override
  public void close() {
    channel.shutdownNow();
    server.shutdownNow();
  }
}
