# Run to completion: every night the dead letters of the day are delivered once more, by a subscription with a group of its own, which
# ends where the topic ended when the task started.

module "orders_redrive" {
  source = "../../modules/ecs-subscription"

  name              = "orders-redrive"
  bootstrap_servers = var.bootstrap_servers
  subscription = {
    source = "kafka://my-cluster/orders-dead"
    sink   = "https://billing.internal.example.com/orders"
  }
  start_at = "earliest"
  schedule = { expression = "cron(0 3 * * ? *)", timezone = "Europe/Berlin", end_at = "latest" }

  image       = var.image
  cluster_arn = var.cluster_arn
  subnet_ids  = var.subnet_ids
}
