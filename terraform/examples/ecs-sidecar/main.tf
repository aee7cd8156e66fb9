# The handler as a second container of the same task: it is reached on localhost, starts before the sidecar and stops after it.

module "orders_to_billing" {
  source = "../../modules/ecs-subscription"

  name              = "orders-to-billing"
  bootstrap_servers = var.bootstrap_servers
  subscription = {
    source = "kafka://my-cluster/orders"
    sink   = "http://localhost:8080/orders"
  }
  handler_container = {
    image        = "registry.example.com/billing:1.4.2"
    environment  = { PORT = "8080" }
    health_check = { command = ["CMD", "/billing", "health"], start_period = 30 }
  }
  shutdown_timeout = 60

  image       = var.image
  cluster_arn = var.cluster_arn
  subnet_ids  = var.subnet_ids
  cpu         = 512
  memory      = 1024

  capacity_providers = [
    { provider = "FARGATE", base = 1, weight = 1 },
    { provider = "FARGATE_SPOT", weight = 3 },
  ]
  scaling = { min = 2, max = 6, target_load = 80, partitions = 6 }
}
