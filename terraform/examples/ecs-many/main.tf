# Many subscriptions from a map: what they share is written once, and what one of them wants otherwise stands beside its name.

locals {
  subscriptions = {
    orders-to-billing  = { topic = "orders", sink = "https://billing.internal.example.com/orders" }
    orders-to-search   = { topic = "orders", sink = "https://search.internal.example.com/index/{key}", ordering = "key", tasks = 2 }
    clicks-to-insights = { topic = "clicks", sink = "https://insights.internal.example.com/clicks", ordering = "none", concurrency = 256 }
  }
}

module "subscription" {
  source   = "../../modules/ecs-subscription"
  for_each = local.subscriptions

  name              = each.key
  bootstrap_servers = var.bootstrap_servers
  subscription = {
    source = "kafka://my-cluster/${each.value.topic}"
    sink   = each.value.sink
  }
  ordering = try(each.value.ordering, null) # null is the default of kafka-sidecar
  limits   = { concurrency = try(each.value.concurrency, null) }
  scaling  = { min = try(each.value.tasks, 1) }

  image       = var.image
  cluster_arn = var.cluster_arn
  subnet_ids  = var.subnet_ids
}

output "log_groups" {
  description = "Log group of each subscription."
  value       = { for name, s in module.subscription : name => s.log_group_name }
}
