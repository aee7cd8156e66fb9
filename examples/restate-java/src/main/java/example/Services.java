package example;

import dev.restate.sdk.endpoint.Endpoint;
import dev.restate.sdk.http.vertx.RestateHttpServer;

/** A service, a virtual object and a workflow of Restate, each of which the sidecar can call for the records of a topic. */
public final class Services {
    public static void main(String[] args) {
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "9080"));
        RestateHttpServer.listen(Endpoint.bind(new Counter()).bind(new Router()).bind(new Signup()), port);
    }
}
