package dev.reli.example;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** Where webhooks are sent to: it says that it has them, and the work is done afterwards. */
final class Receiver implements AutoCloseable {
  /** What was sent: headers, and the body's bytes as they came. */
  record Delivery(Map<String, List<String>> headers, byte[] body) {
    String id() {
      return headers.get("Webhook-id").get(0);
    }
  }

  private final BlockingQueue<Delivery> deliveries = new LinkedBlockingQueue<>();
  private final HttpServer server;

  Receiver() throws IOException {
    server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.createContext(
        "/",
        exchange -> {
          try (exchange) {
            byte[] body = exchange.getRequestBody().readAllBytes();
            deliveries.add(new Delivery(Map.copyOf(exchange.getRequestHeaders()), body));
            exchange.sendResponseHeaders(204, -1);
          }
        });
    server.start();
  }

  String url() {
    return "http://127.0.0.1:" + server.getAddress().getPort() + "/";
  }

  /** Waits for the delivery of an event. */
  Delivery take(String eventId) throws InterruptedException {
    while (true) {
      Delivery delivery = deliveries.poll(8, TimeUnit.SECONDS);
      if (delivery == null) {
        throw new IllegalStateException("no delivery of " + eventId);
      }
      if (delivery.id().equals(eventId)) {
        return delivery;
      }
    }
  }

  @Override
  public void close() {
    server.stop(0);
  }
}
